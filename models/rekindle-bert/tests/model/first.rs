//! A head that reads first tokens gets what it would get if all of the last block were computed.

use burn::module::Param;
use burn::tensor::{Int, Tensor, TensorData};
use burn_autodiff::{Autodiff, grads::Gradients};
use burn_flex::{Flex, FlexDevice};
use rekindle_bert::{Bert, BertConfig};
use rekindle_nn::{
    Input, NamedVisitor, ParameterPath, Rows, Stem, initialize, set_kernels, visit_named,
};
use rekindle_testkit::Fixture;

type B = Autodiff<Flex>;

const LENGTHS: [usize; 3] = [5, 1, 9];

/// The largest difference of a number, relative to the largest one of its tensor.
const TOLERANCE: f32 = 1e-5;

/// Below this part of the largest number of all tensors a tensor's numbers are rounding: those of a key's
/// bias, which softmax does not see.
const ROUNDING: f32 = 1e-2;

/// A name, and its numbers where there are any.
type Found = (String, Option<Vec<f32>>);

/// Gradients of all parameters, by name.
struct Collect<'a> {
    gradients: &'a Gradients,
    found: Vec<Found>,
}

impl NamedVisitor<B> for Collect<'_> {
    fn visit<const D: usize>(&mut self, path: &ParameterPath, parameter: &Param<Tensor<B, D>>) {
        let gradient = parameter.val().grad(self.gradients);
        let numbers = gradient.map(|x| x.into_data().iter::<f32>().collect());
        self.found.push((path.name.clone(), numbers));
    }
}

/// The output, and the gradient of a weighted sum of it for each parameter of the encoder.
fn run(encoder: &Bert<B>, output: Tensor<B, 2>) -> Vec<Found> {
    let [height, width] = output.dims();
    let weights = (0..height * width).map(|index| (index as f32 * 0.7).sin());
    let weights = TensorData::new(weights.collect(), [height, width]);
    let sum = (output.clone() * Tensor::from_data(weights, &FlexDevice)).sum();
    let mut collect = Collect {
        gradients: &sum.backward(),
        found: Vec::new(),
    };
    visit_named(encoder, &mut collect);
    let output = output.into_data().iter::<f32>().collect();
    collect.found.push(("the output".to_owned(), Some(output)));
    collect.found
}

/// The largest number.
fn largest(numbers: &[f32]) -> f32 {
    numbers.iter().fold(0.0, |most, x| most.max(x.abs()))
}

fn assert_near(what: &str, found: &[Found], expected: &[Found]) {
    let of_all = expected.iter().flat_map(|(_, numbers)| numbers);
    let of_all = of_all.map(|numbers| largest(numbers)).fold(0.0, f32::max);
    for ((name, found), (_, expected)) in found.iter().zip(expected) {
        let (Some(found), Some(expected)) = (found, expected) else {
            assert_eq!(found, expected, "{name}, {what}");
            continue;
        };
        let scale = largest(expected).max(ROUNDING * of_all);
        for (found, expected) in found.iter().zip(expected) {
            let difference = (found - expected).abs();
            assert!(
                difference <= TOLERANCE * scale,
                "{name}, {what}: {found}, not {expected}; the largest is {scale}"
            );
        }
    }
}

#[test]
fn first_states_and_their_gradients_are_those_of_whole_blocks() {
    let slots = |rows: &Rows| {
        let starts: Vec<i32> = rows.starts().into_iter().map(|slot| slot as i32).collect();
        Tensor::<B, 1, Int>::from_data(starts.as_slice(), &FlexDevice)
    };
    for fixture_name in ["bert-single", "roberta-single", "distilbert-single"] {
        let fixture = Fixture::of(concat!(env!("CARGO_MANIFEST_DIR"), "/tests"), fixture_name);
        let config = BertConfig::from_json(&fixture.config).expect("it is known");
        let model = config.classifier::<B>(2, &FlexDevice);
        let model = initialize::<B, _>(model, 7, 0.3);
        let encoder = model.encoder();
        for (layout, rows) in [
            ("ragged", Rows::ragged(LENGTHS.to_vec())),
            ("padded", Rows::padded(LENGTHS.to_vec(), 4)),
        ] {
            let ids = rows.spread(1, |row, position| 5 + (3 * row + position) as u32);
            let input = || Input::new(&ids, &vec![0; ids.len()], &FlexDevice);
            // From states that are known already, too: before the last block, and after it.
            for known in [0, encoder.num_blocks() - 1, encoder.num_blocks()] {
                let input = || Input {
                    stem: (known > 0).then(|| Stem {
                        blocks: known,
                        states: encoder.stem(input(), &rows, known),
                    }),
                    ..input()
                };
                for kernels in [true, false] {
                    set_kernels(kernels);
                    let whole = encoder.forward(input(), &rows).select(0, slots(&rows));
                    let whole = run(encoder, whole);
                    let first = run(encoder, encoder.first_states(input(), &rows));
                    let what = format!("{fixture_name}, {layout}, from {known}, kernels {kernels}");
                    assert_near(&what, &first, &whole);
                }
            }
        }
    }
}
