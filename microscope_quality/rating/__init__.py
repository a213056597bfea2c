"""Scores that people give: labels of images, how raters agree, and studies of scores."""
