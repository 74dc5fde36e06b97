//! Initial values of a whole module.

use burn::module::Module;
use burn::tensor::Tensor;
use burn_flex::{Flex, FlexDevice};
use rekindle_nn::{Embedding, Fresh, LayerNorm, Linear, initialize, initialize_each};

#[derive(Module, Debug)]
struct Small<B: burn::tensor::backend::Backend> {
    table: Embedding<B>,
    linear: Linear<B>,
    norm: LayerNorm<B>,
}

fn small() -> Small<Flex> {
    let device = FlexDevice;
    Small {
        table: Embedding::new(50, 8, &device),
        linear: Linear::new(8, 8, &device),
        norm: LayerNorm::new(8, 1e-12, &device),
    }
}

fn values<const D: usize>(tensor: Tensor<Flex, D>) -> Vec<f32> {
    tensor.into_data().to_vec().expect("numbers are f32")
}

#[test]
fn a_padding_row_is_zero_and_changes_no_other() {
    let plain = initialize::<Flex, _>(small(), 3, 0.02);
    let padded = initialize_each::<Flex, _>(small(), 3, |path| Fresh {
        deviation: if path.layer == "Linear" { 0.01 } else { 0.02 },
        zero_row: (path.name == "table.weight").then_some(2),
    });
    let (plain_table, table) = (
        values(plain.table.weight.val()),
        values(padded.table.weight.val()),
    );
    assert!(table[16..24].iter().all(|&value| value == 0.0));
    assert!(plain_table[16..24].iter().all(|&value| value != 0.0));
    assert_eq!(table[..16], plain_table[..16]);
    assert_eq!(table[24..], plain_table[24..]);
    let twice: Vec<f32> = values(padded.linear.weight.val());
    for (half, whole) in twice.iter().zip(values(plain.linear.weight.val())) {
        assert!((2.0 * half - whole).abs() < 1e-8);
    }
    assert_eq!(values(padded.norm.weight.val()), [1.0; 8]);
}

#[test]
fn a_padding_row_beyond_the_table_is_none() {
    let padded = initialize_each::<Flex, _>(small(), 3, |_| Fresh {
        deviation: 0.02,
        zero_row: Some(99),
    });
    assert!(
        values(padded.table.weight.val())
            .iter()
            .all(|&value| value != 0.0)
    );
}
