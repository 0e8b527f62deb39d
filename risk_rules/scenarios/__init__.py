"""Labelled flows: published cases with their benign twins, and flows just below and above every threshold.

Their labels come from the numbers of the catalogue, written down here a second time: nothing here reads a rule.
"""
