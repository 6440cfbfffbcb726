"""The template families by topic. A family of two tables is asked about tables that refer to each other."""

from datagen.questions.families import (
    aggregates,
    correlation,
    dates,
    groups,
    hypotheses,
    joins,
    missing,
    outliers,
    percentiles,
    pivots,
    ranking,
    regression,
    resampling,
    series,
    text,
)

TOPICS = (
    aggregates,
    percentiles,
    ranking,
    groups,
    dates,
    text,
    missing,
    pivots,
    joins,
    correlation,
    hypotheses,
    regression,
    outliers,
    resampling,
    series,
)
FAMILIES = tuple(family for topic in TOPICS for family in topic.FAMILIES)
