"""Preprocessing: from decoded images to the pixels that a backbone sees."""
