//! The model that `rekindle train` starts from when none is named, as part of the program.
//!
//! What it is and how it was made is told in `models/rekindle-bert/bundled/README.md`.

/// One of the files.
macro_rules! file {
    ($name:literal) => {
        (
            $name,
            include_bytes!(concat!("../../../models/rekindle-bert/bundled/", $name)) as &[u8],
        )
    };
}

/// The files of the model's folder, by their names: what `transformers` and Rekindle open, and the model card.
pub const FILES: &[(&str, &[u8])] = &[
    file!("README.md"),
    file!("config.json"),
    file!("model.safetensors"),
    file!("special_tokens_map.json"),
    file!("tokenizer.json"),
    file!("tokenizer_config.json"),
];
