//! How fast products are, beside candle's: `cargo run --example speed [FORMAT] [SHAPES] [THREADS]`.
//!
//! Each line is the median of turns, ours and candle's one after the other, of each turn the best of three runs, since
//! the threads of the one wait actively for a while when the other begins: gigabytes of the file's weights and thousand
//! millions of operations a second, and how much sooner ours is done. FORMAT is a name such as `Q4K`, SHAPES `llama`,
//! `smollm`; `all` of them by default, on two threads. candle has as many threads as RAYON_NUM_THREADS says.

use candle_core::quantized::{GgmlDType, QMatMul, QTensor};
use candle_core::{DType, Device, Module, Result, Tensor};
use chandler_kernels::{Format, Instructions, Matrix};
use std::sync::Arc;
use std::time::{Duration, Instant};

const FORMATS: [(Format, GgmlDType); 9] = [
    (Format::Q4K, GgmlDType::Q4K),
    (Format::Q6K, GgmlDType::Q6K),
    (Format::Q4_1, GgmlDType::Q4_1),
    (Format::Q8_0, GgmlDType::Q8_0),
    (Format::Q4_0, GgmlDType::Q4_0),
    (Format::Q5K, GgmlDType::Q5K),
    (Format::F32, GgmlDType::F32),
    (Format::BF16, GgmlDType::BF16),
    (Format::F16, GgmlDType::F16),
];

/// Rows and columns of a Llama of 1.1 thousand million weights.
const LLAMA: [(usize, usize); 5] = [
    (2048, 2048),
    (256, 2048),
    (5632, 2048),
    (2048, 5632),
    (32000, 2048),
];
/// Those of SmolLM2-135M.
const SMOLLM: [(usize, usize); 5] = [
    (576, 576),
    (192, 576),
    (1536, 576),
    (576, 1536),
    (49152, 576),
];
/// Those of MiniLM-L6.
const MINILM: [(usize, usize); 3] = [(384, 384), (1536, 384), (384, 1536)];
/// How long the runs of a line may take.
const BUDGET: Duration = Duration::from_millis(500);
const RUNS: usize = 31;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = |default: &str| arguments.next().unwrap_or(default.to_owned());
    let (format, shapes) = (argument("all"), argument("all"));
    let threads = argument("2").parse().map_err(candle_core::Error::wrap)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(candle_core::Error::wrap)?;
    println!("instructions: {}", Instructions::best().name());
    println!("format  rows x columns    m    ours GB/s  GFLOP/s   candle GB/s  GFLOP/s   ours is");
    let wanted = |name: &str| shapes == "all" || shapes == name;
    let sets = [
        ("llama", &LLAMA[..]),
        ("smollm", &SMOLLM),
        ("minilm", &MINILM),
    ];
    for (_, shapes) in sets.into_iter().filter(|(name, _)| wanted(name)) {
        for pair in FORMATS {
            if format == "all" || format!("{:?}", pair.0) == format {
                for shape in shapes {
                    pool.install(|| compare(pair, *shape))?;
                }
            }
        }
    }
    Ok(())
}

/// Prints the lines of one format and shape.
fn compare((format, dtype): (Format, GgmlDType), (rows, columns): (usize, usize)) -> Result<()> {
    if !columns.is_multiple_of(format.block_columns()) {
        return Ok(());
    }
    let weights = Tensor::randn(0f32, 0.02, (rows, columns), &Device::Cpu)?;
    let theirs = QTensor::quantize(&weights, dtype)?;
    let bytes = theirs.data()?.into_owned();
    let ours = Matrix::new(format, rows, columns, &bytes).map_err(candle_core::Error::wrap)?;
    let theirs = their_product(theirs, weights, dtype)?;
    for count in [1, 8, 128, 512] {
        let input = Tensor::randn(0f32, 1.0, (count, columns), &Device::Cpu)?;
        let x: Vec<f32> = input.flatten_all()?.to_vec1()?;
        let mut out = vec![0.0; count * rows];
        let mut run_ours = || ours.product(&x, &mut out).map_err(candle_core::Error::wrap);
        let [our_time, their_time] = medians(&mut run_ours, &mut || theirs(&input))?;
        let work = (2 * count * rows * columns) as f64;
        let rates = |time: f64| format!("{:9.2} {:9.1}", bytes.len() as f64 / time, work / time);
        println!(
            "{:6} {rows:6} x {columns:5} {count:5}   {}   {}   {:8.2}",
            format!("{format:?}"),
            rates(our_time),
            rates(their_time),
            their_time / our_time,
        );
    }
    Ok(())
}

/// Computes a product with an input and drops it.
type Product = Box<dyn Fn(&Tensor) -> Result<()>>;

/// A product by candle: of numbers with 32 bits its plain one, else its quantised one.
fn their_product(quantised: QTensor, weights: Tensor, dtype: GgmlDType) -> Result<Product> {
    let dtype = match dtype {
        GgmlDType::F32 => DType::F32,
        GgmlDType::BF16 => DType::BF16,
        GgmlDType::F16 => DType::F16,
        _ => {
            let product = QMatMul::from_arc(Arc::new(quantised))?;
            return Ok(Box::new(move |input| product.forward(input).map(drop)));
        }
    };
    let weights = weights.to_dtype(dtype)?.t()?;
    Ok(Box::new(move |input| {
        let input = input.to_dtype(weights.dtype())?;
        input.matmul(&weights).map(drop)
    }))
}

/// The medians of both in nanoseconds. They take turns, so that what else the machine does slows both.
fn medians(
    ours: &mut dyn FnMut() -> Result<()>,
    theirs: &mut dyn FnMut() -> Result<()>,
) -> Result<[f64; 2]> {
    ours()?;
    theirs()?;
    let begin = Instant::now();
    let mut times = [Vec::new(), Vec::new()];
    while times[0].len() < 5 || (times[0].len() < RUNS && begin.elapsed() < BUDGET) {
        times[0].push(turn(ours)?);
        times[1].push(turn(theirs)?);
    }
    Ok(times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    }))
}

/// The best time of three.
fn turn(run: &mut dyn FnMut() -> Result<()>) -> Result<f64> {
    let times = [time(run)?, time(run)?, time(run)?];
    let best = times.into_iter().min().unwrap_or_default();
    Ok(best.as_nanos() as f64)
}

fn time(run: &mut dyn FnMut() -> Result<()>) -> Result<Duration> {
    let begin = Instant::now();
    run()?;
    Ok(begin.elapsed())
}
