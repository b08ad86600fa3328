//! RSA2 (SHA-256 with RSA, PKCS#1 v1.5), the signature of Alipay: keys in the forms the consoles hand out, sign, verify.
