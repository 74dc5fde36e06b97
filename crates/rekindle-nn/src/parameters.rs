//! Walking a module's float parameters by name.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, backend::Backend};

/// Where a parameter stands in its module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterPath {
    /// Field names joined by dots: `encoder.layer.0.output.weight`.
    pub name: String,
    /// Type of the layer that holds it: `Linear`.
    pub layer: String,
}

/// What is known of a parameter without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Where it stands.
    pub path: ParameterPath,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Whether it is trained.
    pub is_trainable: bool,
}

/// Sees each parameter of a module.
pub trait NamedVisitor<B: Backend> {
    /// Sees one parameter.
    fn visit<const D: usize>(&mut self, path: &ParameterPath, parameter: &Param<Tensor<B, D>>);
}

/// Replaces each parameter of a module.
pub trait NamedMapper<B: Backend> {
    /// Returns what takes the parameter's place.
    fn map<const D: usize>(
        &mut self,
        path: &ParameterPath,
        parameter: Param<Tensor<B, D>>,
    ) -> Param<Tensor<B, D>>;
}

/// Shows every float parameter of a module to a visitor, in the order of declaration.
pub fn visit_named<B: Backend, M: Module<B>>(module: &M, visitor: &mut impl NamedVisitor<B>) {
    module.visit(&mut Walk {
        stack: Vec::new(),
        inner: visitor,
    });
}

/// Lets a mapper replace every float parameter of a module.
#[must_use]
pub fn map_named<B: Backend, M: Module<B>>(module: M, mapper: &mut impl NamedMapper<B>) -> M {
    module.map(&mut Walk {
        stack: Vec::new(),
        inner: mapper,
    })
}

/// Every float parameter of a module.
pub fn list<B: Backend, M: Module<B>>(module: &M) -> Vec<Parameter> {
    struct List(Vec<Parameter>);
    impl<B: Backend> NamedVisitor<B> for List {
        fn visit<const D: usize>(&mut self, path: &ParameterPath, parameter: &Param<Tensor<B, D>>) {
            self.0.push(Parameter {
                path: path.clone(),
                shape: parameter.lazy_shape().to_vec(),
                // A lazy parameter is trained; asked itself, it would be filled.
                is_trainable: !parameter.is_initialized() || parameter.is_require_grad(),
            });
        }
    }
    let mut list = List(Vec::new());
    visit_named(module, &mut list);
    list.0
}

/// Numbers in all trainable parameters, and in all parameters.
pub fn count(parameters: &[Parameter]) -> [usize; 2] {
    let size = |parameter: &Parameter| parameter.shape.iter().product::<usize>();
    let trainable = parameters.iter().filter(|parameter| parameter.is_trainable);
    [trainable.map(size).sum(), parameters.iter().map(size).sum()]
}

/// Keeps track of the path while Burn walks.
struct Walk<'a, T> {
    /// Names and container types from the root to here.
    stack: Vec<(String, String)>,
    inner: &'a mut T,
}

impl<T> Walk<'_, T> {
    fn enter(&mut self, name: &str, container: &str) {
        self.stack.push((name.to_owned(), container.to_owned()));
    }

    fn path(&self) -> ParameterPath {
        let names: Vec<&str> = self.stack.iter().map(|(name, _)| name.as_str()).collect();
        let layer = self
            .stack
            .last()
            .map_or("", |(_, container)| container.as_str());
        ParameterPath {
            name: names.join("."),
            layer: layer.trim_start_matches("Struct:").to_owned(),
        }
    }
}

impl<B: Backend, T: NamedVisitor<B>> ModuleVisitor<B> for Walk<'_, T> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.stack.pop();
    }

    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<B, D>>) {
        self.inner.visit(&self.path(), parameter);
    }
}

impl<B: Backend, T: NamedMapper<B>> ModuleMapper<B> for Walk<'_, T> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.stack.pop();
    }

    fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        self.inner.map(&self.path(), parameter)
    }
}
