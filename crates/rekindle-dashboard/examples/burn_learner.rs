//! A learner of burn-train on the dashboard: a line through points.
//!
//! `cargo run -p rekindle-dashboard --example burn_learner [MILLISECONDS]` waits so long before each batch, 10 by
//! default.

use std::error::Error;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use burn::data::dataloader::batcher::Batcher;
use burn::data::dataloader::{DataLoader, DataLoaderBuilder};
use burn::data::dataset::InMemDataset;
use burn::lr_scheduler::linear::LinearLrSchedulerConfig;
use burn::module::Module;
use burn::nn::loss::{MseLoss, Reduction};
use burn::nn::{Linear, LinearConfig};
use burn::optim::SgdConfig;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Tensor, TensorData};
use burn::train::metric::{LearningRateMetric, LossMetric};
use burn::train::{
    InferenceStep, Interrupter, Learner, RegressionOutput, SupervisedTraining, TrainOutput,
    TrainStep,
};
use burn_autodiff::Autodiff;
use burn_flex::{Flex, FlexDevice};
use rekindle_dashboard::Terminal;

const EPOCHS: usize = 6;
const BATCH_SIZE: usize = 16;
const TRAIN_POINTS: usize = 2_000;
const VALID_POINTS: usize = 320;

#[derive(Clone, Debug)]
struct Point {
    x: [f32; 2],
    y: f32,
}

/// Points near a plane, the same in every run.
fn points(count: usize) -> Vec<Point> {
    let spread = |index: usize, factor: usize| (index * factor % 1_009) as f32 / 504.5 - 1.0;
    let point = |index| {
        let x = [spread(index, 73), spread(index, 421)];
        let noise = 0.3 * spread(index, 607);
        Point {
            x,
            y: 3.0 * x[0] - 2.0 * x[1] + 0.5 + noise,
        }
    };
    (0..count).map(point).collect()
}

#[derive(Clone, Debug)]
struct Batch<B: Backend> {
    x: Tensor<B, 2>, // [points, 2]
    y: Tensor<B, 2>, // [points, 1]
}

#[derive(Clone, Debug)]
struct Slowly(Duration);

impl<B: Backend> Batcher<B, Point, Batch<B>> for Slowly {
    fn batch(&self, points: Vec<Point>, device: &B::Device) -> Batch<B> {
        thread::sleep(self.0);
        let count = points.len();
        let x: Vec<f32> = points.iter().flat_map(|point| point.x).collect();
        let y: Vec<f32> = points.iter().map(|point| point.y).collect();
        Batch {
            x: Tensor::from_data(TensorData::new(x, [count, 2]), device),
            y: Tensor::from_data(TensorData::new(y, [count, 1]), device),
        }
    }
}

fn batches<B: Backend>(
    count: usize,
    pause: Duration,
    device: B::Device,
) -> Arc<dyn DataLoader<B, Batch<B>>> {
    DataLoaderBuilder::new(Slowly(pause))
        .batch_size(BATCH_SIZE)
        .set_device(device)
        .build(InMemDataset::new(points(count)))
}

#[derive(Module, Debug)]
struct Plane<B: Backend> {
    linear: Linear<B>,
}

impl<B: Backend> Plane<B> {
    fn forward(&self, batch: Batch<B>) -> RegressionOutput<B> {
        let output = self.linear.forward(batch.x);
        let loss = MseLoss::new().forward(output.clone(), batch.y.clone(), Reduction::Mean);
        RegressionOutput::new(loss, output, batch.y)
    }
}

impl<B: AutodiffBackend> TrainStep for Plane<B> {
    type Input = Batch<B>;
    type Output = RegressionOutput<B>;

    fn step(&self, batch: Batch<B>) -> TrainOutput<RegressionOutput<B>> {
        let output = self.forward(batch);
        TrainOutput::new(self, output.loss.backward(), output)
    }
}

impl<B: Backend> InferenceStep for Plane<B> {
    type Input = Batch<B>;
    type Output = RegressionOutput<B>;

    fn step(&self, batch: Batch<B>) -> RegressionOutput<B> {
        self.forward(batch)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let pause = std::env::args().nth(1).map_or(Ok(10), |text| text.parse());
    let pause = Duration::from_millis(pause?);
    let folder = tempfile::tempdir()?;
    let interrupter = Interrupter::new();
    let stop = interrupter.clone();
    let terminal = Terminal::start(
        std::io::stderr(),
        std::env::var_os("NO_COLOR").is_none(),
        move || stop.stop(Some("stopped by the user")),
        // Where steps are long, a program would exit here.
        || {},
    )?;

    let device = FlexDevice;
    let model = Plane::<Autodiff<Flex>> {
        linear: LinearConfig::new(2, 1).init(&device),
    };
    let steps = EPOCHS * TRAIN_POINTS.div_ceil(BATCH_SIZE);
    let rate = LinearLrSchedulerConfig::new(0.02, 0.001, steps).init()?;
    let learner = Learner::new(model, SgdConfig::new().init(), rate);
    SupervisedTraining::new(
        folder.path(),
        batches(TRAIN_POINTS, pause, device),
        batches(VALID_POINTS, pause, device),
    )
    .metrics((LossMetric::new(),))
    .metric_train_numeric(LearningRateMetric::new())
    .num_epochs(EPOCHS)
    .renderer(terminal)
    .with_interrupter(interrupter)
    .with_application_logger(None)
    .summary()
    .launch(learner);
    Ok(())
}
