//! AES-CBC as the vendors use it: keys with surplus bits, padding up to 32, and the length-prefixed frame
//! `random 16 ‖ big-endian length ‖ body ‖ receiver id` that Baidu, Douyin and WeChat share.

use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit, block_padding::NoPadding};
use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Base64 of keys: 43 characters carry 258 bits, and the two surplus bits of real keys are often not zero.
/// Padding may be there or not.
pub const KEY_BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true).with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Length of an AES block and of the frame's random prefix, in bytes.
pub const BLOCK: usize = 16;

/// Why a ciphertext could not be opened. Never says anything about the plaintext.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
pub enum CbcError {
    /// The key is not 16, 24 or 32 bytes, or the initialisation vector is not 16.
    #[error("key of {0} bytes (16, 24 or 32 are possible)")]
    KeyLength(usize),
    /// The ciphertext is not a positive number of whole blocks.
    #[error("ciphertext of {0} bytes is not a positive multiple of 16")]
    CiphertextLength(usize),
    /// The frame's length word points outside of the plaintext: usually the wrong key.
    #[error("the length in the decrypted frame does not fit (wrong key?)")]
    Frame,
}

/// Decodes an `EncodingAESKey` (43 characters for 32 bytes) into key bytes.
///
/// # Errors
/// [`CbcError::KeyLength`] with the decoded length, 0 when it is not base64 at all.
pub fn key(text: &str) -> Result<Vec<u8>, CbcError> {
    let text: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let key = KEY_BASE64.decode(&text).map_err(|_| CbcError::KeyLength(0))?;
    match key.len() {
        16 | 24 | 32 => Ok(key),
        other => Err(CbcError::KeyLength(other)),
    }
}

/// Decrypts whole blocks, leaving the padding in place. `key` is 16, 24 or 32 bytes, `iv` 16.
///
/// # Errors
/// Lengths that do not fit.
pub fn decrypt(key: &[u8], iv: &[u8], ciphertext: &[u8]) -> Result<Vec<u8>, CbcError> {
    let mut plain = ciphertext.to_vec();
    decrypt_in_place(key, iv, &mut plain)?;
    Ok(plain)
}

/// As [`decrypt`], over the ciphertext itself.
///
/// # Errors
/// Lengths that do not fit; the data is then of no use.
pub fn decrypt_in_place(key: &[u8], iv: &[u8], data: &mut [u8]) -> Result<(), CbcError> {
    let length = data.len();
    if data.is_empty() || !length.is_multiple_of(BLOCK) {
        return Err(CbcError::CiphertextLength(length));
    }
    let wrong = |_| CbcError::KeyLength(key.len());
    let done = match key.len() {
        16 => cbc::Decryptor::<aes::Aes128>::new_from_slices(key, iv).map_err(wrong)?.decrypt_padded::<NoPadding>(data).is_ok(),
        24 => cbc::Decryptor::<aes::Aes192>::new_from_slices(key, iv).map_err(wrong)?.decrypt_padded::<NoPadding>(data).is_ok(),
        32 => cbc::Decryptor::<aes::Aes256>::new_from_slices(key, iv).map_err(wrong)?.decrypt_padded::<NoPadding>(data).is_ok(),
        other => return Err(CbcError::KeyLength(other)),
    };
    if done { Ok(()) } else { Err(CbcError::CiphertextLength(length)) }
}

/// Encrypts after padding with `n` bytes of value `n` up to a multiple of `pad_to` (16 or 32). For twins, tests and Alipay.
///
/// # Errors
/// Lengths that do not fit.
pub fn encrypt(key: &[u8], iv: &[u8], plain: &[u8], pad_to: u8) -> Result<Vec<u8>, CbcError> {
    let wrong = |_| CbcError::KeyLength(key.len());
    let block = usize::from(pad_to);
    let pad = block - plain.len() % block;
    let mut data = plain.to_vec();
    data.resize(plain.len() + pad, u8::try_from(pad).unwrap_or(pad_to));
    let len = data.len();
    let done = match key.len() {
        16 => cbc::Encryptor::<aes::Aes128>::new_from_slices(key, iv).map_err(wrong)?.encrypt_padded::<NoPadding>(&mut data, len).is_ok(),
        24 => cbc::Encryptor::<aes::Aes192>::new_from_slices(key, iv).map_err(wrong)?.encrypt_padded::<NoPadding>(&mut data, len).is_ok(),
        32 => cbc::Encryptor::<aes::Aes256>::new_from_slices(key, iv).map_err(wrong)?.encrypt_padded::<NoPadding>(&mut data, len).is_ok(),
        other => return Err(CbcError::KeyLength(other)),
    };
    if done { Ok(data) } else { Err(CbcError::CiphertextLength(len)) }
}

/// Drops the padding as the vendors' own samples do: when the last byte is 1 to 32, that many bytes go, else none.
/// Lenient on purpose: the frame's length word decides what the body is, and the signature was checked before.
#[must_use]
pub fn unpad(plain: &[u8]) -> &[u8] {
    match plain.last() {
        Some(&n @ 1..=32) => plain.get(..plain.len().saturating_sub(usize::from(n))).unwrap_or(plain),
        _ => plain,
    }
}

/// The parts of a decrypted frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The message.
    pub body: &'a [u8],
    /// The receiver's id behind it; may be empty.
    pub tail: &'a [u8],
}

/// Takes `random 16 ‖ u32 length ‖ body ‖ tail` apart. `plain` is unpadded.
///
/// # Errors
/// [`CbcError::Frame`] when the length word does not fit.
pub fn frame(plain: &[u8]) -> Result<Frame<'_>, CbcError> {
    let (head, rest) = plain.split_at_checked(BLOCK + 4).ok_or(CbcError::Frame)?;
    let word: [u8; 4] = head.get(BLOCK..).and_then(|w| w.try_into().ok()).ok_or(CbcError::Frame)?;
    let length = usize::try_from(u32::from_be_bytes(word)).map_err(|_| CbcError::Frame)?;
    let (body, tail) = rest.split_at_checked(length).ok_or(CbcError::Frame)?;
    Ok(Frame { body, tail })
}

/// Builds an unpadded frame around `body`. For twins and tests.
#[must_use]
pub fn framed(random: &[u8; BLOCK], body: &[u8], tail: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    [random.as_slice(), &length.to_be_bytes(), body, tail].concat()
}
