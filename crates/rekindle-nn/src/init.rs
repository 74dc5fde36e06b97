//! Initial values of parameters, drawn on the host so that every backend starts from the same ones.

use burn::module::{Module, Param, ParamId};
use burn::tensor::{Shape, Tensor, TensorData, backend::Backend};

use crate::noise::mix;
use crate::parameters::{NamedMapper, ParameterPath, map_named};

/// A trainable parameter that holds `value` everywhere once something reads it.
///
/// Loading a checkpoint replaces it without ever allocating these values.
pub fn lazy_parameter<B: Backend, const D: usize>(
    shape: [usize; D],
    value: f32,
    device: &B::Device,
) -> Param<Tensor<B, D>> {
    let init = move |device: &B::Device, is_trained: bool| {
        Tensor::full(shape, value, device).set_require_grad(is_trained)
    };
    Param::uninitialized(
        ParamId::new(),
        init,
        device.clone(),
        true,
        Shape::from(shape),
    )
}

/// How the values of a weight are drawn; biases are zero and norms the identity in any case.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fresh {
    /// Standard deviation of a normal distribution around zero.
    pub deviation: f64,
    /// A row that is zero, if there is one of that number: that of the padding token.
    pub zero_row: Option<usize>,
}

/// Fills a module with random weights, as transformers' BERT family does: linear and embedding weights
/// normal with the given standard deviation, biases zero, norms the identity.
#[must_use]
pub fn initialize<B: Backend, M: Module<B>>(module: M, seed: u64, deviation: f64) -> M {
    let fresh = Fresh {
        deviation,
        zero_row: None,
    };
    initialize_each(module, seed, |_| fresh)
}

/// [`initialize`], with each weight drawn as `of` says.
#[must_use]
pub fn initialize_each<B: Backend, M: Module<B>>(
    module: M,
    seed: u64,
    of: impl Fn(&ParameterPath) -> Fresh,
) -> M {
    struct Fill<F> {
        seed: u64,
        of: F,
    }
    impl<B: Backend, F: Fn(&ParameterPath) -> Fresh> NamedMapper<B> for Fill<F> {
        fn map<const D: usize>(
            &mut self,
            path: &ParameterPath,
            parameter: Param<Tensor<B, D>>,
        ) -> Param<Tensor<B, D>> {
            let shape = parameter.lazy_shape();
            let Fresh {
                deviation,
                zero_row,
            } = (self.of)(path);
            match fresh_values(path, shape.num_elements(), self.seed, deviation) {
                Some(mut values) => {
                    let row = zero_row.and_then(|row| values.chunks_mut(shape[D - 1]).nth(row));
                    if let Some(row) = row {
                        row.fill(0.0);
                    }
                    replace(parameter, TensorData::new(values, shape))
                }
                // Forces the lazy constant, so that clones share one value.
                None => parameter.map(|tensor| tensor),
            }
        }
    }
    map_named(module, &mut Fill { seed, of })
}

/// Random values of a weight; `None` for biases and norms, which keep their constant.
pub(crate) fn fresh_values(
    path: &ParameterPath,
    elements: usize,
    seed: u64,
    deviation: f64,
) -> Option<Vec<f32>> {
    let is_weight = path.name.ends_with("weight") && !path.layer.ends_with("Norm");
    let key = stream(&path.name, seed);
    is_weight.then(|| {
        (0..elements as u64)
            .map(|i| (normal(key, i) * deviation) as f32)
            .collect()
    })
}

/// Random values of a parameter, uniform between `-limit` and `limit`.
pub(crate) fn uniform_values(name: &str, elements: usize, seed: u64, limit: f64) -> Vec<f32> {
    let key = stream(name, seed);
    (0..elements as u64)
        .map(|i| ((2.0 * uniform(key, i) - 1.0) * limit) as f32)
        .collect()
}

/// Each parameter has a stream of its own, so that adding one changes no other.
fn stream(name: &str, seed: u64) -> u64 {
    name.bytes()
        .fold(mix(seed), |key, byte| mix(key ^ u64::from(byte)))
}

/// Puts data in a parameter's place as one that is trained, without reading its lazy value.
pub(crate) fn replace<B: Backend, const D: usize>(
    parameter: Param<Tensor<B, D>>,
    data: TensorData,
) -> Param<Tensor<B, D>> {
    let tensor = Tensor::from_data(data, &parameter.lazy_device());
    Param::initialized(parameter.id, tensor.set_require_grad(true))
}

/// A standard normal number, by Box and Muller's transform of two uniform ones.
fn normal(key: u64, counter: u64) -> f64 {
    let (radius, angle) = (uniform(key, 2 * counter), uniform(key, 2 * counter + 1));
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

/// A number between 0 and 1, neither of which it is.
fn uniform(key: u64, counter: u64) -> f64 {
    ((mix(key.wrapping_add(counter)) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_weights_have_the_asked_deviation_and_repeat() {
        let path = ParameterPath {
            name: "head.weight".into(),
            layer: "Linear".into(),
        };
        let values = fresh_values(&path, 20_000, 1, 0.02).unwrap();
        let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / 20_000.0;
        let square = values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 6e-4, "mean {mean}");
        assert!(
            (square.sqrt() - 0.02).abs() < 4e-4,
            "deviation {}",
            square.sqrt()
        );
        assert_eq!(values, fresh_values(&path, 20_000, 1, 0.02).unwrap());
        assert_ne!(values, fresh_values(&path, 20_000, 2, 0.02).unwrap());
    }

    #[test]
    fn uniform_values_fill_their_range() {
        let values = uniform_values("a", 20_000, 1, 0.25);
        let largest = values.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        let square = values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / 20_000.0;
        assert!(largest < 0.25 && largest > 0.2499, "largest {largest}");
        // The variance of a uniform number is a third of the limit's square.
        assert!(
            (square * 3.0 / 0.0625 - 1.0).abs() < 0.03,
            "square {square}"
        );
        assert_ne!(values, uniform_values("b", 20_000, 1, 0.25));
    }

    #[test]
    fn biases_and_norms_keep_their_constant() {
        let bias = ParameterPath {
            name: "head.bias".into(),
            layer: "Linear".into(),
        };
        let norm = ParameterPath {
            name: "norm.weight".into(),
            layer: "LayerNorm".into(),
        };
        assert_eq!(fresh_values(&bias, 4, 1, 0.02), None);
        assert_eq!(fresh_values(&norm, 4, 1, 0.02), None);
    }
}
