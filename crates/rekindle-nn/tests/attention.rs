//! Attention against its definition, in all placements of rows, forward and backward.

use burn::tensor::{DType, Tensor, TensorData, backend::Backend};
use burn_autodiff::Autodiff;
use burn_flex::{Flex, FlexDevice};
use rekindle_nn::{
    Columns, Dropout, Heads, KvCache, LayerCache, Masks, RmsNorm, Rows, Sight, TrainBackend,
};

type B = Autodiff<Flex>;

const LENGTHS: [usize; 4] = [3, 5, 1, 4];
const SIZE: usize = 4;

/// Queries, keys and values of all tokens, and the weights of a sum of outputs.
struct Case {
    heads: Heads,
    qkv: [Vec<f64>; 3],
    weights: Vec<f64>,
}

impl Case {
    fn new(queries: usize, keys: usize, sight: Sight) -> Self {
        let heads = Heads {
            queries,
            keys,
            size: SIZE,
            sight,
        };
        let tokens: usize = LENGTHS.iter().sum();
        // Any numbers that do not repeat.
        let fill = |seed: f64, heads: usize| {
            let numbers = (0..tokens * heads * SIZE).map(|i| (i as f64 * 0.7 + seed).sin());
            numbers.collect::<Vec<f64>>()
        };
        Self {
            heads,
            qkv: [fill(0.1, queries), fill(1.2, keys), fill(2.3, keys)],
            weights: fill(3.4, queries),
        }
    }

    /// The definition, token by token.
    fn outputs(&self, [q, k, v]: &[Vec<f64>; 3]) -> Vec<f64> {
        let Heads {
            queries,
            keys,
            sight,
            ..
        } = self.heads;
        let mut outputs = vec![0.0; q.len()];
        let mut start = 0;
        for length in LENGTHS {
            for (token, head) in (0..length).flat_map(|t| (0..queries).map(move |h| (t, h))) {
                let query = ((start + token) * queries + head) * SIZE;
                let key = |to: usize| ((start + to) * keys + head * keys / queries) * SIZE;
                let seen = (0..length).filter(|&to| sight.sees(token, to));
                let scores: Vec<(usize, f64)> = seen
                    .map(|to| {
                        let dot: f64 = (0..SIZE).map(|c| q[query + c] * k[key(to) + c]).sum();
                        (to, (dot / (SIZE as f64).sqrt()).exp())
                    })
                    .collect();
                let sum: f64 = scores.iter().map(|(_, score)| score).sum();
                for (to, score) in scores {
                    for c in 0..SIZE {
                        outputs[query + c] += score / sum * v[key(to) + c];
                    }
                }
            }
            start += length;
        }
        outputs
    }

    /// Gradients of the weighted sum of the definition's outputs, by central differences.
    fn gradients(&self) -> [Vec<f64>; 3] {
        const STEP: f64 = 1e-5;
        let sum = |qkv: &[Vec<f64>; 3]| -> f64 {
            let outputs = self.outputs(qkv);
            outputs.iter().zip(&self.weights).map(|(a, b)| a * b).sum()
        };
        [0, 1, 2].map(|part| {
            let slope = |index: usize| {
                let moved = |by: f64| {
                    let mut qkv = self.qkv.clone();
                    qkv[part][index] += by;
                    sum(&qkv)
                };
                (moved(STEP) - moved(-STEP)) / (2.0 * STEP)
            };
            (0..self.qkv[part].len()).map(slope).collect()
        })
    }

    /// Outputs and gradients of the layer, token by token.
    fn found(&self, rows: &Rows) -> (Vec<f64>, [Vec<f64>; 3]) {
        let qkv = self
            .qkv
            .clone()
            .map(|x| place(&x, rows, 7.0).require_grad());
        let outputs = B::attend(
            qkv.clone(),
            self.heads,
            &Dropout::new(0.0, 0),
            rows,
            &Masks::default(),
        );
        // What padding gives is not part of any loss.
        let weights = place(&self.weights, rows, 0.0);
        let gradients = (outputs.clone() * weights).sum().backward();
        let of = |x: Tensor<B, 2>| collect(x.grad(&gradients).expect("it is tracked"), rows);
        (collect(outputs.inner(), rows), qkv.map(of))
    }
}

/// The first query of each row, of those of all tokens.
fn first(values: &[f64]) -> Vec<f64> {
    let width = values.len() / LENGTHS.iter().sum::<usize>();
    let starts = Rows::ragged(LENGTHS.to_vec()).starts().into_iter();
    starts
        .flat_map(|start| values[start * width..(start + 1) * width].to_vec())
        .collect()
}

/// Puts the numbers of tokens into the slots of rows, and one number into those of padding.
fn place(values: &[f64], rows: &Rows, padding: f64) -> Tensor<B, 2> {
    let width = values.len() / LENGTHS.iter().sum::<usize>();
    let starts = Rows::ragged(LENGTHS.to_vec()).starts();
    let slots = rows.spread(None, |row, position| Some(starts[row] + position));
    let values: Vec<f32> = slots
        .into_iter()
        .flat_map(|slot| match slot {
            Some(slot) => values[slot * width..(slot + 1) * width].to_vec(),
            None => vec![padding; width],
        })
        .map(|value| value as f32)
        .collect();
    let shape = [rows.num_slots(), width];
    Tensor::from_data(TensorData::new(values, shape), &FlexDevice)
}

/// The numbers of the tokens, without those of padding.
fn collect<B: Backend>(x: Tensor<B, 2>, rows: &Rows) -> Vec<f64> {
    let width = x.dims()[1];
    let values: Vec<f64> = x.into_data().iter::<f64>().collect();
    assert!(values.iter().all(|value| value.is_finite()));
    let tokens = rows.starts().into_iter().zip(rows.lengths());
    tokens
        .flat_map(|(start, length)| values[start * width..(start + length) * width].to_vec())
        .collect()
}

fn assert_near(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let difference = (found - expected).abs();
        assert!(
            difference < tolerance,
            "{what}: value {index} is {found}, not {expected}"
        );
    }
}

fn cases() -> Vec<Case> {
    let sights = [
        Sight::Full,
        Sight::Causal { window: None },
        Sight::Causal { window: Some(2) },
    ];
    let heads = [(4, 4), (4, 2), (4, 1)];
    let both = |(queries, keys)| sights.map(|sight| Case::new(queries, keys, sight));
    heads.into_iter().flat_map(both).collect()
}

fn layouts() -> [(&'static str, Rows); 6] {
    let lengths = || LENGTHS.to_vec();
    [
        ("ragged", Rows::ragged(lengths())),
        ("padded", Rows::padded(lengths(), 1)),
        ("padded to 8", Rows::padded(lengths(), 8)),
        ("packed", Rows::packed(lengths(), vec![2, 2], 1)),
        ("packed to 16", Rows::packed(lengths(), vec![1, 3], 16)),
        ("in one pack", Rows::packed(lengths(), vec![4], 4)),
    ]
}

#[test]
fn attention_follows_its_definition_wherever_rows_lie() {
    for case in cases() {
        let (outputs, gradients) = (case.outputs(&case.qkv), case.gradients());
        for (what, rows) in layouts() {
            let what = format!("{:?} {what}", case.heads);
            let (found, backward) = case.found(&rows);
            assert_near(&what, &found, &outputs, 1e-6);
            for (found, expected) in backward.iter().zip(&gradients) {
                assert_near(&what, found, expected, 1e-5);
            }
        }
    }
}

#[test]
fn a_first_token_that_looks_alone_sees_what_it_sees_among_all() {
    for (queries, keys) in [(4, 4), (4, 2), (4, 1)] {
        // The definition, of which nothing but what first tokens see is weighed.
        let mut case = Case::new(queries, keys, Sight::FromFirst);
        let width = queries * SIZE;
        for (row, length) in Rows::ragged(LENGTHS.to_vec())
            .starts()
            .into_iter()
            .zip(LENGTHS)
        {
            case.weights[(row + 1) * width..(row + length) * width].fill(0.0);
        }
        let [to_q, to_k, to_v] = case.gradients();
        for (what, rows) in layouts() {
            let what = format!("{:?} {what}", case.heads);
            let [q, k, v] = &case.qkv;
            let firsts = |values: &[f64]| {
                let values: Vec<f32> = first(values).into_iter().map(|x| x as f32).collect();
                Tensor::<B, 2>::from_data(TensorData::new(values, [rows.len(), width]), &FlexDevice)
            };
            let q = firsts(q).require_grad();
            let [k, v] = [k, v].map(|x| place(x, &rows, 7.0).require_grad());
            let qkv = [q.clone(), k.clone(), v.clone()];
            let none = Dropout::new(0.0, 0);
            let outputs = B::attend(qkv, case.heads, &none, &rows, &Masks::default());
            let sum = (outputs.clone() * firsts(&case.weights)).sum();
            let gradients = sum.backward();
            let of = |x: &Tensor<B, 2>| x.grad(&gradients).expect("it is tracked");
            let numbers = |x: Tensor<Flex, 2>| x.into_data().iter::<f64>().collect::<Vec<_>>();
            let expected = first(&case.outputs(&case.qkv));
            assert_near(&what, &numbers(outputs.inner()), &expected, 1e-6);
            assert_near(&what, &numbers(of(&q)), &first(&to_q), 1e-5);
            assert_near(&what, &collect(of(&k), &rows), &to_k, 1e-5);
            assert_near(&what, &collect(of(&v), &rows), &to_v, 1e-5);
        }
    }
}

#[test]
fn a_cache_gives_what_whole_rows_give() {
    let width = LENGTHS.into_iter().max().unwrap();
    for case in cases() {
        let Sight::Causal { .. } = case.heads.sight else {
            continue;
        };
        let mut cache = KvCache::<Flex>::new(1, case.heads, [4, width + 2], &FlexDevice);
        let mut found = vec![Vec::new(); 4];
        let mut past = 0;
        for new in [2, 1, 2] {
            let columns = Columns {
                padding: LENGTHS.map(|length| width - length).to_vec(),
                past,
                width: new,
            };
            let outputs = read(&case, &columns, &mut cache.layers[0]);
            for (slot, output) in outputs.into_iter().enumerate() {
                let (row, column) = (slot / new, past + slot % new);
                if column >= columns.padding[row] {
                    found[row].extend(output);
                }
            }
            past += new;
        }
        let expected = case.outputs(&case.qkv);
        assert_near(
            &format!("{:?}", case.heads),
            &found.concat(),
            &expected,
            1e-6,
        );
    }
}

/// Outputs of new columns, slot by slot.
fn read(case: &Case, columns: &Columns, cache: &mut LayerCache<Flex>) -> Vec<Vec<f64>> {
    let starts = Rows::ragged(LENGTHS.to_vec()).starts();
    let qkv = case.qkv.clone().map(|values| {
        let width = values.len() / LENGTHS.iter().sum::<usize>();
        let slots = columns
            .padding
            .iter()
            .enumerate()
            .flat_map(|(row, &padding)| {
                let new = columns.past..columns.past + columns.width;
                let start = starts[row];
                new.map(move |column| column.checked_sub(padding).map(|token| start + token))
            });
        let values: Vec<f32> = slots
            .flat_map(|slot| match slot {
                Some(slot) => values[slot * width..(slot + 1) * width].to_vec(),
                None => vec![7.0; width],
            })
            .map(|value| value as f32)
            .collect();
        let shape = [columns.num_slots(), width];
        Tensor::<Flex, 2>::from_data(TensorData::new(values, shape), &FlexDevice)
    });
    let outputs = cache.attend(qkv, case.heads, columns, &Masks::default());
    let width = outputs.dims()[1];
    let outputs: Vec<f64> = outputs.into_data().iter::<f64>().collect();
    assert!(outputs.iter().all(|output| output.is_finite()));
    outputs.chunks(width).map(<[f64]>::to_vec).collect()
}

#[test]
fn half_precision_is_computed_in_f32_where_it_matters() {
    let norm = RmsNorm::<Flex>::new(256, 1e-6, &FlexDevice);
    // The squares of these numbers are beyond f16, and their sum has few digits in bf16.
    let x: Vec<f32> = (0..512).map(|i| 300.0 + (i % 7) as f32 * 64.0).collect();
    let x = Tensor::<Flex, 2>::from_data(TensorData::new(x, [2, 256]), &FlexDevice);
    let expected = norm.forward(x.clone()).into_data();
    let expected: Vec<f64> = expected.iter::<f64>().collect();
    for (dtype, tolerance) in [(DType::F16, 1e-3), (DType::BF16, 8e-3)] {
        let scale = Tensor::<Flex, 1>::ones([256], &FlexDevice).cast(dtype);
        let found = Flex::normalize_rms(x.clone().cast(dtype), scale, 1e-6);
        assert_eq!(found.dtype(), dtype);
        let found: Vec<f64> = found.cast(DType::F32).into_data().iter::<f64>().collect();
        assert_near(&format!("{dtype:?}"), &found, &expected, tolerance);
    }
}
