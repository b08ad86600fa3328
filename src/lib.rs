//! Yizhan (驿站) keeps a service provider's third-party mini program applications alive: it receives the platforms' encrypted pushes,
//! makes them durable before it acknowledges them, keeps tickets and tokens fresh, and brings every event to whoever must hear of it.
//!
//! # A push's journey
//!
//! ```text
//!  platform ──POST──▶ http ─▶ platform::*::open ─▶ inbox ─▶ store (one durable batch) ─▶ acknowledgement
//!                              verify, decrypt       │        event + dedupe key + deliveries
//!                                                    └─ a ticket goes to the vault first
//!  later, by workers that may be killed at any line:
//!                     fanout ─claim▶ one try ─settle▶ store          vault ─▶ outbound ─▶ platform (exchange, refresh, recover)
//! ```
//!
//! 1. `http` takes the raw bytes; signatures cover bytes, so nothing is parsed before `platform` has verified them.
//! 2. `platform::<vendor>` opens the push: signature, decryption, meaning. Pure functions; no clock, no network, no store.
//! 3. `inbox` puts a ticket into the vault, then stores event, dedupe key and one delivery per subscription in one batch.
//!    A push seen before is acknowledged again and stored once; a refused one is kept sealed and can be opened again.
//! 4. Only then the vendor hears its acknowledgement, and the workers of `fanout` are nudged.
//! 5. A grant's code travels sealed beside its event to the vault's own subscription, so its exchange is retried like any delivery.
//!
//! # The rooms, in reading order
//!
//! | room | what it is | what it never does |
//! |---|---|---|
//! | [`platform`] | what a vendor is: opens pushes, builds calls, reads replies; and its twin, the vendor's side | sends, waits, stores, reads the clock |
//! | [`envelope`] | how vendors seal and sign | knows a vendor or an event |
//! | [`inbox`] | what arrived, and the ports of the log | sends anything to anybody |
//! | [`vault`] | what we hold for others: tickets, tokens, authorizers | hands out a token that is not durable |
//! | [`reconcile`] | what a lost push would have told: missed pushes, overdue audits, grants, tickets | gives up a merchant on one look |
//! | [`versions`] | which version each authorizer has released, in audit, uploaded | asks a vendor |
//! | [`fanout`] | who hears of an event: subscriptions, deliveries, replays | lets one subscriber delay another |
//! | [`attributes`] | what a provider notes about its merchants: tags and variables | asks a vendor |
//! | [`rollout`] | one template version brought to many authorizers, through audit and release | sends a deed before a durable record says so |
//! | [`playbook`] | handlers of our own: operations in order, on events | speaks to a vendor itself |
//! | [`robot`] | robots of chat groups, through which playbooks tell people | shows a robot's address |
//! | [`outbound`] | the only place that speaks HTTP to vendors and subscribers | follows a redirect |
//! | [`store`] | where it is kept: the vault in sled, the log in fjall | is known by any concept |
//! | [`config`], [`settings`], [`access`] | the configuration as valid values; API keys and scopes | prints a secret |
//! | [`app`] | the service put together: the only place that names concrete parts | |
//! | [`http`] | our face to machines and browsers | decides anything a concept should |
//! | [`simulator`] | the vendors, pretended, on one HTTP server, with faults on request | is reached by anything but HTTP |
//! | [`downstream`] | a sample handler that verifies what it receives | is part of the service |
//! | [`cli`] | the commands | |
//! | [`clock`], [`secret`], [`shutdown`], [`telemetry`], [`event_type`], [`placeholder`] | time, secrets, the wish to stop, logs and metrics, the vocabulary, values with gaps | |
//!
//! Who may import whom is a table in `tests/it/layers.rs`, held against every `crate::…` path.
//!
//! # What always holds
//!
//! - A push is acknowledged only after fdatasync has returned; a token is handed out only after it is on the disk.
//! - A failed sync is final for the process: it stops acknowledging, turns `/readyz` red and exits with a code of its own.
//! - Before a single-use refresh token or code is spent, an intent is durable; the vendor's raw answer is durable before it is parsed.
//! - Secrets are a type that prints `[redacted]`, and are sealed on disk under the master key.
//! - Time, randomness and shutdown are arguments; there is no global state but the metrics recorder.
//!
//! # What is deliberately absent
//!
//! No message broker, no cache server and no database server is needed: one process, one folder. A cluster is not built yet; the ports
//! ([`inbox::EventLog`], [`vault::shelf`], [`fanout::Outbox`]) carry compare-and-set and leases so that a shared database can serve them.

pub mod access;
pub mod app;
pub mod attributes;
pub mod cli;
pub mod clock;
pub mod config;
pub mod downstream;
pub mod envelope;
pub mod event_type;
pub mod fanout;
pub mod http;
pub mod inbox;
pub mod operations;
pub mod outbound;
pub mod placeholder;
pub mod platform;
pub mod playbook;
pub mod reconcile;
pub mod robot;
pub mod rollout;
pub mod secret;
pub mod settings;
pub mod shutdown;
pub mod simulator;
pub mod store;
pub mod telemetry;
pub mod vault;
pub mod versions;
