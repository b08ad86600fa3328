//! Secrets on disk.

use base64::Engine;
use yizhan::secret::Secret;
use yizhan::store::at_rest::{AtRest, AtRestError};

fn secret(byte: u8) -> Secret {
    Secret::new(base64::engine::general_purpose::STANDARD.encode([byte; 32]))
}

#[test]
fn a_sealed_record_opens_only_where_it_belongs() {
    let ring = AtRest::new(&secret(1), &[]).unwrap();
    let sealed = ring.seal("token", b"a", b"plain").unwrap();
    assert_eq!(ring.open("token", b"a", &sealed).unwrap().as_slice(), b"plain");
    assert_eq!(ring.open("token", b"b", &sealed).unwrap_err(), AtRestError::Damaged);
    assert_eq!(ring.open("ticket", b"a", &sealed).unwrap_err(), AtRestError::Damaged);
}

#[test]
fn a_former_key_still_opens() {
    let sealed = AtRest::new(&secret(1), &[]).unwrap().seal("t", b"a", b"plain").unwrap();
    let ring = AtRest::new(&secret(2), &[secret(1)]).unwrap();
    assert_eq!(ring.open("t", b"a", &sealed).unwrap().as_slice(), b"plain");
    assert!(ring.is_outdated(&sealed));
    assert!(matches!(AtRest::new(&secret(2), &[]).unwrap().open("t", b"a", &sealed), Err(AtRestError::OtherKey(_))));
}
