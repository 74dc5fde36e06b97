//! GPT-2: a pre-norm decoder with learned positions.
