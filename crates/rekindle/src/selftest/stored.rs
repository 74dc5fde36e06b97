//! The numbers that `reference.py` stored, and cases made of them.

use burn::tensor::TensorData;
use rekindle_nn::Rows;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

/// What padding holds: attention that reads it is far off.
const PADDING: f32 = 7.0;

/// A row-major array on the host.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Array {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

impl Array {
    pub(super) fn data(&self) -> TensorData {
        TensorData::new(self.values.clone(), self.shape.clone())
    }

    /// The transpose of a matrix.
    pub(super) fn transposed(&self) -> Self {
        let (rows, columns) = (self.shape[0], self.shape[1]);
        self.moved(vec![columns, rows], |k| k % rows * columns + k / rows)
    }

    /// An array of another shape whose element `k` is element `from(k)` of this one.
    pub(super) fn moved(&self, shape: Vec<usize>, from: impl Fn(usize) -> usize) -> Self {
        let values = (0..shape.iter().product()).map(|k| self.values[from(k)]);
        Self {
            values: values.collect(),
            shape,
        }
    }

    /// Rows of tokens, one after the other, put into the slots of `rows`.
    pub(super) fn padded(&self, rows: &Rows, padding: f32) -> Self {
        let width = self.shape[1];
        let starts = Rows::ragged(rows.lengths().to_vec()).starts();
        let token = |row, position| {
            let first = (starts[row] + position) * width;
            self.values[first..first + width].to_vec()
        };
        Self {
            shape: vec![rows.num_slots(), width],
            values: rows.spread(vec![padding; width], token).concat(),
        }
    }
}

/// An input of an operation, and the gradient that it should get.
#[derive(Clone, Debug)]
pub(super) struct Input {
    pub(super) value: Array,
    pub(super) gradient: Array,
}

/// An operation's inputs and outputs, forward and backward.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) inputs: Vec<Input>,
    pub(super) output: Array,
    /// Gradient that arrives at the output.
    pub(super) up: Array,
}

impl Input {
    /// The transpose of a matrix, and of its gradient.
    pub(super) fn transposed(&self) -> Self {
        Self {
            value: self.value.transposed(),
            gradient: self.gradient.transposed(),
        }
    }
}

impl Case {
    /// The same with its tokens in the slots of `rows`; the output has no slots of padding.
    pub(super) fn placed(&self, rows: &Rows) -> Self {
        let place = |input: &Input| Input {
            value: input.value.padded(rows, PADDING),
            gradient: input.gradient.padded(rows, 0.0),
        };
        Self {
            inputs: self.inputs.iter().map(place).collect(),
            ..self.clone()
        }
    }
}

/// Arrays by name.
pub(super) struct Stored(SafeTensors<'static>);

impl Stored {
    /// What torch computed for single operations; `reference.py` says what is there.
    pub(super) fn operations() -> Self {
        Self::read(include_bytes!("reference.safetensors"))
    }

    pub(super) fn read(file: &'static [u8]) -> Self {
        Self(SafeTensors::deserialize(file).expect("the file is part of the binary"))
    }

    pub(super) fn names(&self) -> Vec<&str> {
        self.0.names()
    }

    pub(super) fn floats(&self, name: &str) -> Array {
        let values = self.numbers(name, Dtype::F32, f32::from_le_bytes);
        Array {
            shape: self.shape(name),
            values,
        }
    }

    pub(super) fn integers(&self, name: &str) -> Vec<i64> {
        self.numbers(name, Dtype::I64, i64::from_le_bytes)
    }

    pub(super) fn shape(&self, name: &str) -> Vec<usize> {
        self.view(name).shape().to_vec()
    }

    fn numbers<T, const N: usize>(
        &self,
        name: &str,
        dtype: Dtype,
        read: fn([u8; N]) -> T,
    ) -> Vec<T> {
        let tensor = self.view(name);
        assert_eq!(tensor.dtype(), dtype, "type of `{name}`");
        let (numbers, _) = tensor.data().as_chunks::<N>();
        numbers.iter().map(|&bytes| read(bytes)).collect()
    }

    fn view(&self, name: &str) -> TensorView<'static> {
        let tensor = self.0.tensor(name);
        tensor.unwrap_or_else(|_| panic!("`{name}` is not stored"))
    }

    /// A case with the inputs that have a gradient; they come before those that have none.
    pub(super) fn case(&self, name: &str) -> Case {
        let gradients = format!("{name}/grad.");
        let names = self.names().into_iter();
        let num_inputs = names.filter(|name| name.starts_with(&gradients)).count();
        let input = |k| Input {
            value: self.floats(&format!("{name}/in.{k}")),
            gradient: self.floats(&format!("{name}/grad.{k}")),
        };
        Case {
            inputs: (0..num_inputs).map(input).collect(),
            output: self.floats(&format!("{name}/out")),
            up: self.floats(&format!("{name}/up")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stored_operation_is_read_with_its_gradients() {
        let stored = Stored::operations();
        let case = stored.case("linear");
        assert_eq!(case.inputs.len(), 3);
        assert_eq!(case.inputs[1].value.shape, [3, 5]);
        assert_eq!(stored.case("binary_cross_entropy").inputs.len(), 1);
        assert_eq!(stored.integers("tagging/in.1")[..3], [-100, 2, 0]);
    }

    #[test]
    fn arrays_are_transposed_and_padded() {
        let array = Array {
            shape: vec![3, 2],
            values: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        };
        let transposed = array.transposed();
        assert_eq!(transposed.shape, [2, 3]);
        assert_eq!(transposed.values, [1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
        let padded = array.padded(&Rows::padded(vec![1, 2], 2), 9.0);
        assert_eq!(padded.shape, [4, 2]);
        assert_eq!(padded.values, [1.0, 2.0, 9.0, 9.0, 3.0, 4.0, 5.0, 6.0]);
    }
}
