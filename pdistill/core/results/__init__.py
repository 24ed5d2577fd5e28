"""From answers to metrics: scores, the report and its pages, comparisons, checks, a judge."""
