"""Features that were computed elsewhere: files are read, checked, evaluated and recorded."""
