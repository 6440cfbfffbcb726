"""The steps that programs are made of: filters, groups, joins, derived columns, and what ends a program."""
