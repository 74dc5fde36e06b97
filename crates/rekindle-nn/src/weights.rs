//! Between a module's parameters and the tensors of a checkpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData, backend::Backend};

use crate::init::{fresh_values, replace};
use crate::parameters::{
    NamedMapper, NamedVisitor, Parameter, ParameterPath, list, map_named, visit_named,
};

/// Why a tensor could not be read.
pub type ReadError = Box<dyn std::error::Error + Send + Sync>;

/// The tensors of a checkpoint: their shapes, and a way to read them one by one.
pub struct TensorSource<'a> {
    pub(crate) shapes: BTreeMap<String, Vec<usize>>,
    pub(crate) read: Box<ReadTensor<'a>>,
}

type ReadTensor<'a> = dyn Fn(&str) -> Result<Vec<f32>, ReadError> + 'a;

impl<'a> TensorSource<'a> {
    /// Tensors by name and shape; `read` gives the values of one, row by row.
    pub fn new<E: Into<ReadError>>(
        shapes: impl IntoIterator<Item = (String, Vec<usize>)>,
        read: impl Fn(&str) -> Result<Vec<f32>, E> + 'a,
    ) -> Self {
        Self {
            shapes: shapes.into_iter().collect(),
            read: Box::new(move |name| read(name).map_err(Into::into)),
        }
    }

    /// Whether there is a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.shapes.contains_key(name)
    }

    /// The values of a tensor that must have this shape.
    pub fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, WeightsError> {
        match self.shapes.get(name) {
            None => Err(WeightsError::Misfit {
                missing: vec![(name.to_owned(), None)],
                mismatched: Vec::new(),
                unused: Vec::new(),
            }),
            Some(found) if found != shape => Err(WeightsError::Misfit {
                missing: Vec::new(),
                mismatched: vec![ShapeMismatch {
                    name: name.to_owned(),
                    expected: shape.to_vec(),
                    found: found.clone(),
                }],
                unused: Vec::new(),
            }),
            Some(_) => (self.read)(name).map_err(|source| WeightsError::Read {
                name: name.to_owned(),
                source,
            }),
        }
    }
}

/// The type that holds an adapter's parameters.
pub(crate) const ADAPTER_LAYER: &str = "LoraAdapter";

/// How an architecture calls its tensors; those of adapters are never asked for.
pub trait CheckpointNames {
    /// The tensor that holds a parameter.
    fn tensor_name(&self, path: &ParameterPath) -> String;

    /// Today's name of a tensor: old spellings and a missing prefix are made good.
    fn canonical(&self, tensor_name: &str) -> String;

    /// Whether a parameter belongs to a head, which a checkpoint may lack or have in another shape.
    fn is_head(&self, path: &ParameterPath) -> bool;

    /// Whether a parameter serves training alone and is no part of a saved model.
    fn is_scaffold(&self, _path: &ParameterPath) -> bool {
        false
    }

    /// Whether a tensor of a checkpoint, by its name of today, is passed over in silence: a buffer, or a
    /// second copy of a weight.
    fn is_ignored(&self, _canonical: &str) -> bool {
        false
    }

    /// Whether the checkpoint holds the transpose: so do PyTorch's linear layers, `[outputs, inputs]`.
    fn is_transposed(&self, path: &ParameterPath) -> bool {
        path.layer == "Linear" && path.name.ends_with("weight")
    }

    /// The module that gives the outputs, which adapters leave out: a decoder's unless said otherwise.
    fn output_module(&self) -> &'static str {
        "lm_head"
    }
}

/// The tensor that holds a parameter, an adapter's as peft calls it.
pub fn tensor_name(names: &dyn CheckpointNames, path: &ParameterPath) -> String {
    let adapter = path.name.rsplit_once(".adapter.");
    let Some((linear, field)) = adapter.filter(|_| path.layer == ADAPTER_LAYER) else {
        return names.tensor_name(path);
    };
    let weight = names.tensor_name(&weight_of(linear));
    let field = if field == "lora_a" {
        "lora_A"
    } else {
        "lora_B"
    };
    format!("{}.{field}.weight", layer_of(&weight))
}

/// The path of a linear layer's weight.
pub(crate) fn weight_of(linear: &str) -> ParameterPath {
    ParameterPath {
        name: format!("{linear}.weight"),
        layer: "Linear".to_owned(),
    }
}

/// Whether the checkpoint holds a parameter's transpose; adapters are PyTorch's linear layers in all of them.
pub fn is_transposed(names: &dyn CheckpointNames, path: &ParameterPath) -> bool {
    path.layer == ADAPTER_LAYER || names.is_transposed(path)
}

/// A parameter on its way into a checkpoint; its values leave the device when they are asked for.
pub struct ExportedTensor {
    /// Name in the checkpoint.
    pub name: String,
    /// Shape in the checkpoint.
    pub shape: Vec<usize>,
    /// Gives the values, row by row.
    pub values: Box<dyn FnOnce() -> Vec<f32>>,
}

impl ExportedTensor {
    /// A tensor as it is.
    pub fn new<B: Backend, const D: usize>(name: String, tensor: Tensor<B, D>) -> Self {
        Self {
            name,
            shape: tensor.dims().to_vec(),
            values: Box::new(move || tensor.into_data().iter::<f32>().collect()),
        }
    }
}

/// What became of the tensors of a checkpoint and of the parameters of a model, by checkpoint names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Read from the checkpoint.
    pub loaded: Vec<String>,
    /// Not in the checkpoint: made with the seed.
    pub fresh: Vec<String>,
    /// In the checkpoint in another shape, so made with the seed.
    pub replaced: Vec<ShapeMismatch>,
    /// In the checkpoint, and not in the model.
    pub unused: Vec<String>,
}

/// A tensor whose shape is not the model's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeMismatch {
    /// Name in the checkpoint.
    pub name: String,
    /// Shape that the model needs.
    pub expected: Vec<usize>,
    /// Shape in the checkpoint.
    pub found: Vec<usize>,
}

impl fmt::Display for ShapeMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}`: expected {:?}, found {:?}",
            self.name, self.expected, self.found
        )
    }
}

/// Why a checkpoint does not fit a model.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// Tensors are missing or have another shape.
    #[error(
        "the checkpoint does not fit the model{}",
        describe(missing, mismatched, unused)
    )]
    Misfit {
        /// Names of missing tensors, each with the nearest one that is there and unused.
        missing: Vec<(String, Option<String>)>,
        /// Tensors of another shape.
        mismatched: Vec<ShapeMismatch>,
        /// Tensors that the model does not have.
        unused: Vec<String>,
    },
    /// A tensor could not be read.
    #[error("cannot read tensor `{name}`")]
    Read {
        /// Its name.
        name: String,
        /// The reason.
        source: ReadError,
    },
}

impl WeightsError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Misfit { .. } => Some(
                "`config.json` and the weights must come from the same model; compare its sizes with the shapes above"
                    .to_owned(),
            ),
            Self::Read { .. } => Some("download or copy the checkpoint again".to_owned()),
        }
    }
}

fn describe(
    missing: &[(String, Option<String>)],
    mismatched: &[ShapeMismatch],
    unused: &[String],
) -> String {
    use fmt::Write;
    let mut text = String::new();
    for (name, nearest) in missing {
        let nearest = nearest
            .as_ref()
            .map_or(String::new(), |name| format!(" (nearest: `{name}`)"));
        let _ = write!(text, "\n  missing: `{name}`{nearest}");
    }
    for mismatch in mismatched {
        let _ = write!(text, "\n  other shape: {mismatch}");
    }
    for name in unused {
        let _ = write!(text, "\n  unused: `{name}`");
    }
    text
}

/// Fills a module from a checkpoint; what a head lacks is made from the seed, and adapters stay as they are.
///
/// All missing and misshapen tensors of the body are one error. A head is taken layer by layer: a layer
/// that is absent, or whose shape differs, is made afresh; one that is there in part is an error.
pub fn load<B: Backend, M: Module<B>>(
    module: M,
    source: &TensorSource,
    names: &dyn CheckpointNames,
    (seed, deviation): (u64, f64),
) -> Result<(M, LoadReport), WeightsError> {
    let mut parameters = list(&module);
    parameters.retain(|parameter| parameter.path.layer != ADAPTER_LAYER);
    let plan = Plan::new(&parameters, source, names)?;
    let mut loader = Loader {
        plan: &plan,
        source,
        names,
        seed,
        deviation,
        failure: None,
    };
    let module = map_named(module, &mut loader);
    match loader.failure {
        None => Ok((module, plan.report)),
        Some((name, source)) => Err(WeightsError::Read { name, source }),
    }
}

/// Every parameter that belongs to a saved model, under the names and in the layout of the checkpoint; those
/// of adapters as peft has them.
pub fn export<B: Backend, M: Module<B>>(
    module: &M,
    names: &dyn CheckpointNames,
) -> Vec<ExportedTensor> {
    export_some(module, names, &|path| !names.is_scaffold(path))
}

/// The parameters that serve training alone, in the same way.
pub fn export_scaffold<B: Backend, M: Module<B>>(
    module: &M,
    names: &dyn CheckpointNames,
) -> Vec<ExportedTensor> {
    export_some(module, names, &|path| names.is_scaffold(path))
}

/// The parameters that are asked for, as [`export`] gives them.
pub(crate) fn export_some<B: Backend, M: Module<B>>(
    module: &M,
    names: &dyn CheckpointNames,
    is_asked: &dyn Fn(&ParameterPath) -> bool,
) -> Vec<ExportedTensor> {
    struct Export<'a> {
        names: &'a dyn CheckpointNames,
        is_asked: &'a dyn Fn(&ParameterPath) -> bool,
        tensors: Vec<ExportedTensor>,
    }
    impl<B: Backend> NamedVisitor<B> for Export<'_> {
        fn visit<const D: usize>(&mut self, path: &ParameterPath, parameter: &Param<Tensor<B, D>>) {
            if !(self.is_asked)(path) {
                return;
            }
            let own_shape = parameter.lazy_shape().to_vec();
            let is_transposed = is_transposed(self.names, path);
            let mut shape = own_shape.clone();
            if is_transposed {
                shape.reverse();
            }
            let tensor = parameter.val();
            let values = move || {
                let data: Vec<f32> = tensor.into_data().iter::<f32>().collect();
                if is_transposed {
                    transpose(&data, &own_shape)
                } else {
                    data
                }
            };
            let name = tensor_name(self.names, path);
            self.tensors.push(ExportedTensor {
                name,
                shape,
                values: Box::new(values),
            });
        }
    }
    let mut export = Export {
        names,
        is_asked,
        tensors: Vec::new(),
    };
    visit_named(module, &mut export);
    export.tensors
}

/// Which tensor fills which parameter.
struct Plan {
    /// Tensor of each parameter that is read, by the parameter's name.
    tensors: BTreeMap<String, String>,
    report: LoadReport,
}

impl Plan {
    fn new(
        parameters: &[Parameter],
        source: &TensorSource,
        names: &dyn CheckpointNames,
    ) -> Result<Self, WeightsError> {
        let mut tensors: Vec<(String, String)> = source
            .shapes
            .keys()
            .map(|name| (names.canonical(name), name.clone()))
            .filter(|(canonical, _)| !names.is_ignored(canonical))
            .collect();
        // Of two tensors that mean the same, the one with the name of today is taken: the last.
        tensors.sort_by_key(|(canonical, name)| canonical == name);
        let mut available: BTreeMap<String, String> = tensors.into_iter().collect();
        let fresh_layers = fresh_layers(parameters, &available, source, names);
        let mut plan = Self {
            tensors: BTreeMap::new(),
            report: LoadReport::default(),
        };
        let (mut missing, mut mismatched) = (Vec::new(), Vec::new());
        for Parameter { path, shape, .. } in parameters {
            let name = names.tensor_name(path);
            let mismatch = |found: &String| mismatch(path, shape, found, source, names);
            match available.remove(&name) {
                Some(found) if fresh_layers.contains(layer_of(&path.name)) => {
                    plan.report.replaced.extend(mismatch(&found));
                    plan.report.fresh.push(name);
                }
                Some(found) => {
                    mismatched.extend(mismatch(&found));
                    plan.tensors.insert(path.name.clone(), found);
                    plan.report.loaded.push(name);
                }
                None if fresh_layers.contains(layer_of(&path.name)) => plan.report.fresh.push(name),
                None => missing.push(name),
            }
        }
        plan.report.unused = available.into_values().collect();
        if missing.is_empty() && mismatched.is_empty() {
            return Ok(plan);
        }
        let unused = plan.report.unused;
        let missing = missing
            .into_iter()
            .map(|name| {
                let nearest = nearest(&name, &unused);
                (name, nearest)
            })
            .collect();
        Err(WeightsError::Misfit {
            missing,
            mismatched,
            unused,
        })
    }
}

/// The layers of the head that the checkpoint lacks altogether, or has in another shape.
fn fresh_layers(
    parameters: &[Parameter],
    available: &BTreeMap<String, String>,
    source: &TensorSource,
    names: &dyn CheckpointNames,
) -> BTreeSet<String> {
    let head = || {
        parameters
            .iter()
            .filter(|parameter| names.is_head(&parameter.path))
    };
    let found = |parameter: &Parameter| available.get(&names.tensor_name(&parameter.path));
    let layer = |parameter: &Parameter| layer_of(&parameter.path.name).to_owned();
    let present: BTreeSet<String> = head()
        .filter(|parameter| found(parameter).is_some())
        .map(layer)
        .collect();
    let misshapen = head().filter(|parameter| {
        found(parameter).is_some_and(|name| {
            mismatch(&parameter.path, &parameter.shape, name, source, names).is_some()
        })
    });
    let absent = head().map(layer).filter(|layer| !present.contains(layer));
    misshapen.map(layer).chain(absent).collect()
}

/// What holds a parameter or a tensor: its name without the last part.
pub(crate) fn layer_of(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(layer, _)| layer)
}

/// The shapes of a parameter and its tensor, where they differ.
pub(crate) fn mismatch(
    path: &ParameterPath,
    shape: &[usize],
    tensor: &str,
    source: &TensorSource,
    names: &dyn CheckpointNames,
) -> Option<ShapeMismatch> {
    let mut expected = shape.to_vec();
    if is_transposed(names, path) {
        expected.reverse();
    }
    let found = source.shapes.get(tensor).cloned().unwrap_or_default();
    (found != expected).then(|| ShapeMismatch {
        name: tensor_name(names, path),
        expected,
        found,
    })
}

/// The candidate that is most like a name, if one is like it.
pub(crate) fn nearest(name: &str, candidates: &[String]) -> Option<String> {
    let similarity = |candidate: &String| strsim::normalized_levenshtein(name, candidate);
    candidates
        .iter()
        .filter(|candidate| similarity(candidate) > 0.7)
        .max_by(|a, b| similarity(a).total_cmp(&similarity(b)))
        .cloned()
}

struct Loader<'a> {
    plan: &'a Plan,
    source: &'a TensorSource<'a>,
    names: &'a dyn CheckpointNames,
    seed: u64,
    deviation: f64,
    failure: Option<(String, ReadError)>,
}

impl<B: Backend> NamedMapper<B> for Loader<'_> {
    fn map<const D: usize>(
        &mut self,
        path: &ParameterPath,
        parameter: Param<Tensor<B, D>>,
    ) -> Param<Tensor<B, D>> {
        let shape = parameter.lazy_shape();
        let values = match self.plan.tensors.get(&path.name) {
            None => fresh_values(path, shape.num_elements(), self.seed, self.deviation),
            Some(name) => match (self.source.read)(name) {
                Ok(values) if self.names.is_transposed(path) => {
                    let reversed: Vec<usize> = shape.iter().rev().copied().collect();
                    Some(transpose(&values, &reversed))
                }
                Ok(values) => Some(values),
                Err(error) => {
                    self.failure.get_or_insert((name.clone(), error));
                    return parameter;
                }
            },
        };
        match values {
            Some(values) => replace(parameter, TensorData::new(values, shape)),
            // Forces the lazy constant, so that clones share one value.
            None => parameter.map(|tensor| tensor),
        }
    }
}

/// The transpose of a matrix of the given shape.
pub(crate) fn transpose(data: &[f32], shape: &[usize]) -> Vec<f32> {
    let (rows, columns) = (shape[0], shape[1]);
    let mut transposed = Vec::with_capacity(data.len());
    for column in 0..columns {
        transposed.extend((0..rows).map(|row| data[row * columns + column]));
    }
    transposed
}
