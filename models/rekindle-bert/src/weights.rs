//! Names of the BERT family's tensors on the Hub.

use rekindle_nn::{CheckpointNames, Fresh, ParameterPath};

use crate::{BertConfig, Family};

/// The names that one architecture gives its tensors.
#[derive(Clone, Copy, Debug)]
pub struct BertNames {
    family: Family,
    head: Head,
}

/// What stands on the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    Classifier,
    Tagger,
    WordPredictor,
}

/// Our name, then BERT's and RoBERTa's, then DistilBERT's; `#` is the number of a block.
const BODY: [[&str; 3]; 12] = [
    [
        "embeddings.word",
        "embeddings.word_embeddings",
        "embeddings.word_embeddings",
    ],
    [
        "embeddings.position",
        "embeddings.position_embeddings",
        "embeddings.position_embeddings",
    ],
    [
        "embeddings.token_type",
        "embeddings.token_type_embeddings",
        "",
    ],
    [
        "embeddings.norm",
        "embeddings.LayerNorm",
        "embeddings.LayerNorm",
    ],
    [
        "layers.#.attention.query",
        "encoder.layer.#.attention.self.query",
        "transformer.layer.#.attention.q_lin",
    ],
    [
        "layers.#.attention.key",
        "encoder.layer.#.attention.self.key",
        "transformer.layer.#.attention.k_lin",
    ],
    [
        "layers.#.attention.value",
        "encoder.layer.#.attention.self.value",
        "transformer.layer.#.attention.v_lin",
    ],
    [
        "layers.#.attention_output",
        "encoder.layer.#.attention.output.dense",
        "transformer.layer.#.attention.out_lin",
    ],
    [
        "layers.#.attention_norm",
        "encoder.layer.#.attention.output.LayerNorm",
        "transformer.layer.#.sa_layer_norm",
    ],
    [
        "layers.#.intermediate",
        "encoder.layer.#.intermediate.dense",
        "transformer.layer.#.ffn.lin1",
    ],
    [
        "layers.#.output",
        "encoder.layer.#.output.dense",
        "transformer.layer.#.ffn.lin2",
    ],
    [
        "layers.#.output_norm",
        "encoder.layer.#.output.LayerNorm",
        "transformer.layer.#.output_layer_norm",
    ],
];

/// What a student has above its encoder while it learns.
const PROJECTION: &str = "projection";

impl BertNames {
    /// Names of a sequence classifier.
    pub fn of_classifier(family: Family) -> Self {
        Self {
            family,
            head: Head::Classifier,
        }
    }

    /// Names of a token classifier.
    pub fn of_tagger(family: Family) -> Self {
        Self {
            family,
            head: Head::Tagger,
        }
    }

    /// Names of a predictor of words.
    pub fn of_word_predictor(family: Family) -> Self {
        Self {
            family,
            head: Head::WordPredictor,
        }
    }

    /// The layer that gives the logits, as tensors name it.
    pub fn output_layer(self) -> &'static str {
        self.head("output")
    }

    fn prefix(self) -> &'static str {
        match self.family {
            Family::Bert => "bert",
            Family::Roberta => "roberta",
            Family::DistilBert => "distilbert",
        }
    }
}

impl CheckpointNames for BertNames {
    fn tensor_name(&self, path: &ParameterPath) -> String {
        let (layer, field) = path.name.rsplit_once('.').unwrap_or(("", &path.name));
        match layer.strip_prefix("encoder.") {
            Some(body) => format!("{}.{}.{field}", self.prefix(), self.body(body)),
            None => format!("{}.{field}", self.head(layer)),
        }
    }

    fn canonical(&self, tensor_name: &str) -> String {
        // Checkpoints of the TensorFlow era spell the fields of norms so.
        let name = match tensor_name.rsplit_once('.') {
            Some((layer, "gamma")) => format!("{layer}.weight"),
            Some((layer, "beta")) => format!("{layer}.bias"),
            _ => tensor_name.to_owned(),
        };
        // The bias that transformers holds under two names; a file may have either.
        let name = match name.as_str() {
            "cls.predictions.decoder.bias" => "cls.predictions.bias".to_owned(),
            "lm_head.decoder.bias" => "lm_head.bias".to_owned(),
            _ => name,
        };
        // A headless checkpoint has no prefix.
        let is_body = ["embeddings.", "encoder.", "transformer.", "pooler."]
            .iter()
            .any(|part| name.starts_with(part));
        if is_body {
            format!("{}.{name}", self.prefix())
        } else {
            name
        }
    }

    fn is_head(&self, path: &ParameterPath) -> bool {
        !path.name.starts_with("encoder.")
    }

    fn is_scaffold(&self, path: &ParameterPath) -> bool {
        path.name.starts_with(PROJECTION)
    }

    fn is_ignored(&self, canonical: &str) -> bool {
        // The embedding of the words a second time.
        self.head == Head::WordPredictor && canonical == format!("{}.weight", self.output_module())
    }

    fn output_module(&self) -> &'static str {
        match (self.head, self.family) {
            (Head::Classifier | Head::Tagger, _) => "classifier",
            (Head::WordPredictor, Family::Bert) => "cls.predictions.decoder",
            (Head::WordPredictor, Family::Roberta) => "lm_head.decoder",
            (Head::WordPredictor, Family::DistilBert) => "vocab_projector",
        }
    }
}

impl BertNames {
    /// The tensors' name of a layer of the encoder.
    fn body(self, layer: &str) -> String {
        let column = if self.family == Family::DistilBert {
            2
        } else {
            1
        };
        let mut parts: Vec<&str> = layer.split('.').collect();
        let number = match parts.as_mut_slice() {
            ["layers", number, ..] => std::mem::replace(number, "#"),
            _ => "",
        };
        let pattern = parts.join(".");
        let row = BODY.iter().find(|row| row[0] == pattern);
        row.expect("the table has a row for each layer of the encoder")[column].replace('#', number)
    }

    /// The tensors' name of a layer of the head.
    fn head(self, layer: &str) -> &'static str {
        if self.head == Head::WordPredictor {
            return self.word_predictor(layer);
        }
        match (layer, self.family, self.head) {
            (PROJECTION, _, _) => PROJECTION,
            ("dense", Family::Bert, _) => "bert.pooler.dense",
            ("dense", Family::Roberta, _) => "classifier.dense",
            ("dense", Family::DistilBert, _) => "pre_classifier",
            (_, Family::Roberta, Head::Classifier) => "classifier.out_proj",
            _ => "classifier",
        }
    }

    fn word_predictor(self, layer: &str) -> &'static str {
        match (layer, self.family) {
            ("dense", Family::Bert) => "cls.predictions.transform.dense",
            ("norm", Family::Bert) => "cls.predictions.transform.LayerNorm",
            (_, Family::Bert) => "cls.predictions",
            ("dense", Family::Roberta) => "lm_head.dense",
            ("norm", Family::Roberta) => "lm_head.layer_norm",
            (_, Family::Roberta) => "lm_head",
            ("dense", Family::DistilBert) => "vocab_transform",
            ("norm", Family::DistilBert) => "vocab_layer_norm",
            (_, Family::DistilBert) => "vocab_projector",
        }
    }
}

impl BertConfig {
    /// How a weight of a model from scratch is drawn, as in transformers' `_init_weights`; RoBERTa's table
    /// of positions has a padding row of the same number.
    pub fn fresh(&self, path: &ParameterPath) -> Fresh {
        let is_padded = match path.name.strip_prefix("encoder.embeddings.") {
            Some("word.weight") => true,
            Some("position.weight") => self.family == Family::Roberta,
            _ => false,
        };
        Fresh {
            deviation: self.initializer_range,
            zero_row: is_padded.then_some(self.padding_id),
        }
    }
}
