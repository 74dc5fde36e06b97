//! Tolerances, tiny models and the laws that every model obeys.
