"""From answers to figures: scores, the report and its pages, comparisons, checks, a judge."""
