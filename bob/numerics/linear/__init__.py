"""Linear models on fixed features: logistic and ridge paths, and many small problems at once."""
