//! RSA2 keys in every form a console hands out.

use yizhan::envelope::rsa2::{KeyError, PrivateKey, PublicKey};

use super::file;

fn bare(pem: &str) -> String {
    pem.lines().filter(|line| !line.starts_with("-----")).collect()
}

#[test]
fn a_private_key_is_the_same_in_all_four_forms() {
    let pkcs8 = file("keys/alipay/application.pem");
    let pkcs1 = file("keys/alipay/application_pkcs1.pem");
    let wrapped =
        bare(&pkcs1).as_bytes().chunks(40).map(|line| std::str::from_utf8(line).unwrap().to_owned() + "\r\n ").collect::<String>();
    let public = PublicKey::read(&file("keys/alipay/application_public.pem")).unwrap();
    let signature = PrivateKey::read(&pkcs8).unwrap().sign(b"text");
    for form in [pkcs8.clone(), pkcs1.clone(), bare(&pkcs8), bare(&pkcs1), wrapped] {
        let key = PrivateKey::read(&form).unwrap();
        assert_eq!(*key.public(), public);
        assert_eq!(key.sign(b"text"), signature, "PKCS#1 v1.5 signs the same text alike");
        assert_eq!(format!("{key:?}"), "[redacted]");
    }
}

#[test]
fn a_public_key_is_read_as_pem_and_as_bare_base64_and_written_as_consoles_show_it() {
    let pem = file("keys/alipay/application_public.pem");
    let key = PublicKey::read(&pem).unwrap();
    assert_eq!(PublicKey::read(&bare(&pem)).unwrap(), key);
    assert_eq!(key.to_base64(), bare(&pem));
    assert!(key.to_base64().starts_with("MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A"));
}

#[test]
fn what_is_no_key_is_named_without_being_shown() {
    let private = file("keys/alipay/application.pem");
    let public = file("keys/alipay/application_public.pem");
    assert_eq!(PrivateKey::read(&public).unwrap_err(), KeyError::OtherKind);
    assert_eq!(PrivateKey::read(&bare(&public)).unwrap_err(), KeyError::NotPrivate);
    assert_eq!(PublicKey::read(&private).unwrap_err(), KeyError::OtherKind);
    assert_eq!(PublicKey::read(&bare(&private)).unwrap_err(), KeyError::NotPublic);
    assert_eq!(PublicKey::read(&file("keys/alipay/alipay.crt")).unwrap_err(), KeyError::OtherKind);
    assert_eq!(PrivateKey::read("not base64!").unwrap_err(), KeyError::NotBase64);
    assert_eq!(PrivateKey::read("").unwrap_err(), KeyError::NotBase64);
    assert_eq!(PrivateKey::read("-----BEGIN PRIVATE KEY-----").unwrap_err(), KeyError::NotBase64);
    let cut: String = bare(&private).chars().take(800).collect();
    assert_eq!(PrivateKey::read(&cut).unwrap_err(), KeyError::NotPrivate);
}

#[test]
fn only_the_right_signature_over_the_right_text_holds() {
    let key = PrivateKey::read(&file("keys/alipay/application.pem")).unwrap();
    let sign = key.sign(b"text");
    assert!(key.public().verify(b"text", &sign));
    assert!(!key.public().verify(b"texu", &sign));
    assert!(!key.public().verify(b"text", ""));
    assert!(!key.public().verify(b"text", &format!("{sign} ")));
    // The last letter before the padding has four bits that carry nothing: another letter there is another text.
    let place = sign.len() - 3;
    let surplus = sign.replace(&sign[place..], "B==");
    assert!(!key.public().verify(b"text", &surplus));
    let other = PrivateKey::read(&file("keys/alipay/platform.pem")).unwrap();
    assert!(!other.public().verify(b"text", &sign));
}
