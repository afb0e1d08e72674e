"""Speed and honesty, measured: side by side in one run, so that only ratios are claimed."""
