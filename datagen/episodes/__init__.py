"""How episodes are made: questions are gathered, answered in the sandbox, judged and kept."""
