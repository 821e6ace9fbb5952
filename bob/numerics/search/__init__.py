"""Exact search: nearest neighbours, shortlists and full rankings by cosine or Euclidean similarity.

Every search works in the same three steps. Float32 scores of all rows come from a fast library;
how far they are off is measured on a sample; where two scores are closer than that, float64 scores
decide, and equal ones go to the lower position. `similarity` defines the scores and their errors,
`order` the comparison with ties. On top of them,

- `neighbours` finds the k nearest rows;
- `distances` holds a gallery and its distances to a chunk of queries, and `ranks` counts what
  precedes each positive;
- `rankings` ranks a gallery with either, for what `relevance` calls positive or excludes.

Modules are imported one by one, since `relevance` is needed where torch and faiss are not loaded.
"""
