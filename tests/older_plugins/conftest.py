collect_ignore_glob = ["pdistill-*"]  # they are run where they are installed: tests/test_older_plugins.py
