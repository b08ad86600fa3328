//! What is thrown at everything that reads input of strangers: one function per target. It panics when something that must always hold
//! does not; merely surviving is not enough.
//!
//! Driven from two sides: by cargo fuzz (`fuzz_targets/`, a nightly toolchain, coverage-guided) and, bounded, by the project's own tests on
//! the stable toolchain (`tests/it/fuzz.rs` includes this file by its path and brings its own mutator, `mutate.rs`).
//! `README.md` says how to run either and where the corpus comes from.

pub mod addresses;
pub mod bodies;
pub mod configuration;
pub mod corpus;
pub mod envelope;
pub mod forms;
pub mod lists;
pub mod mutate;
pub mod push;
pub mod replies;
pub mod said;
pub mod seeds;
pub mod tamper;
pub mod xml;

/// One target.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name: of the program in `fuzz_targets/` and of the folder in `corpus/`.
    pub name: &'static str,
    /// Takes one input.
    pub run: fn(&[u8]),
    /// How many inputs the bounded run takes: fewer where each costs an RSA signature.
    pub bounded: u32,
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "push_baidu", run: |input| push::pushed("baidu", input), bounded: 4_000 },
    Target { name: "push_douyin", run: |input| push::pushed("douyin", input), bounded: 4_000 },
    Target { name: "push_kuaishou", run: |input| push::pushed("kuaishou", input), bounded: 4_000 },
    Target { name: "push_alipay", run: |input| push::pushed("alipay", input), bounded: 1_000 },
    Target { name: "tamper", run: tamper::tamper, bounded: 4_000 },
    Target { name: "said_baidu", run: |input| said::said("baidu", input), bounded: 1_500 },
    Target { name: "said_douyin", run: |input| said::said("douyin", input), bounded: 1_500 },
    Target { name: "said_kuaishou", run: |input| said::said("kuaishou", input), bounded: 1_500 },
    Target { name: "said_alipay", run: |input| said::said("alipay", input), bounded: 200 },
    Target { name: "replies", run: replies::replies, bounded: 1_500 },
    Target { name: "envelope", run: envelope::envelope, bounded: 4_000 },
    Target { name: "keys", run: envelope::keys, bounded: 1_000 },
    Target { name: "form", run: forms::form, bounded: 3_000 },
    Target { name: "multipart", run: forms::multipart, bounded: 3_000 },
    Target { name: "capture", run: forms::capture, bounded: 3_000 },
    Target { name: "xml", run: xml::xml, bounded: 3_000 },
    Target { name: "configuration", run: configuration::configuration, bounded: 300 },
    Target { name: "cursor", run: lists::cursor, bounded: 3_000 },
    Target { name: "query", run: lists::query, bounded: 3_000 },
    Target { name: "glob", run: lists::glob, bounded: 5_000 },
    Target { name: "address", run: addresses::subscriber, bounded: 3_000 },
    Target { name: "vendor_path", run: addresses::vendor_path, bounded: 3_000 },
    Target { name: "webhook", run: addresses::webhook, bounded: 4_000 },
    Target { name: "placeholder", run: bodies::placeholder, bounded: 4_000 },
    Target { name: "playbook", run: bodies::playbook, bounded: 1_500 },
    Target { name: "rollout", run: bodies::rollout, bounded: 3_000 },
];
