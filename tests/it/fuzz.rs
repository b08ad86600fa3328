//! The bounded run of the fuzz targets (`fuzz/`) on the stable toolchain: the committed corpus, and seeded changes of it.
//!
//! `YIZHAN_FUZZ_TIMES=100 cargo test --release …` takes a hundred times as many; `YIZHAN_FUZZ_SEED` another seed.
//! `YIZHAN_WRITE_CORPUS=1` writes the seeds anew.

#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use targets::corpus;
use targets::mutate::{Dice, mutated};
use targets::{TARGETS, Target, seeds};

/// Longest time that one input may take, in a build without optimisation on a busy machine: a reader whose work grows with the square of
/// what it is given is found by this.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(5);

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Runs one input; a failure names it so that it can be kept.
fn run(target: &Target, input: &[u8], what: &str) {
    let began = std::time::Instant::now();
    if catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_err() {
        let file = std::env::temp_dir().join(format!("yizhan-fuzz-{}", target.name));
        let _ = fs::write(&file, input);
        panic!("{}: {what} breaks a rule; it is kept in {}", target.name, file.display());
    }
    assert!(began.elapsed() < LONGEST, "{}: {what} of {} bytes took {:?}", target.name, input.len(), began.elapsed());
}

fn bounded(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let inputs = corpus::inputs(name);
    assert!(!inputs.is_empty(), "{name} has no corpus");
    for (index, input) in inputs.iter().enumerate() {
        run(target, input, &format!("file {index} of the corpus"));
    }
    let mut dice = Dice::new(number("YIZHAN_FUZZ_SEED", 1) ^ inputs.len() as u64);
    let times = u64::from(target.bounded) * number("YIZHAN_FUZZ_TIMES", 1);
    for round in 0..times {
        let (seed, other) = (&inputs[dice.below(inputs.len())], &inputs[dice.below(inputs.len())]);
        run(target, &mutated(&mut dice, seed, other), &format!("change {round}"));
    }
    println!("{name}: {} inputs of the corpus, {times} changes of them", inputs.len());
}

macro_rules! bounded_runs {
    ($($name:ident),+ $(,)?) => {
        $(#[test]
        fn $name() {
            bounded(stringify!($name));
        })+

        #[test]
        fn every_target_has_its_bounded_run_and_its_program() {
            let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(names, [$(stringify!($name)),+]);
            let folder = corpus::fixtures().parent().unwrap().join("fuzz");
            let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
            for name in names {
                assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
                assert!(folder.join("fuzz_targets").join(format!("{name}.rs")).is_file(), "{name}");
            }
        }
    };
}

bounded_runs!(
    push_baidu,
    push_douyin,
    push_kuaishou,
    push_alipay,
    tamper,
    said_baidu,
    said_douyin,
    said_kuaishou,
    said_alipay,
    replies,
    envelope,
    keys,
    form,
    multipart,
    capture,
    xml,
    configuration,
    cursor,
    query,
    glob,
    address,
    vendor_path,
    webhook,
    placeholder,
    playbook,
    rollout,
);

#[test]
fn the_corpus_is_what_the_fixtures_make() {
    for seed in seeds::all() {
        let file = corpus::folder(&seed.target).join(&seed.name);
        if number("YIZHAN_WRITE_CORPUS", 0) == 1 {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, &seed.input).unwrap();
        }
        let committed = fs::read(&file).unwrap_or_default();
        assert!(committed == seed.input, "{} is not what the fixtures make: YIZHAN_WRITE_CORPUS=1 writes it anew", file.display());
    }
}
