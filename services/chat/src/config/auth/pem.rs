//! Which algorithm a public key in PEM is for.

use jsonwebtoken::{Algorithm, DecodingKey};

/// Bytes of a point on P-256 as SEC 1 writes it, whole and compressed. Other curves have other
/// lengths, and none of the algorithms that we take.
const P256_POINT_BYTES: [usize; 2] = [65, 33];

/// The algorithm, or what is wrong with the text and what would be right.
pub(super) fn algorithm(pem: &[u8]) -> Result<Algorithm, String> {
    let text = String::from_utf8_lossy(pem);
    if text.contains("PRIVATE KEY-----") {
        return Err("holds a private key, and this node only checks tokens; give it the public key: \
                    openssl pkey -in FILE -pubout"
            .into());
    }
    if DecodingKey::from_rsa_pem(pem).is_ok() {
        return Ok(Algorithm::RS256);
    }
    if DecodingKey::from_ed_pem(pem).is_ok() {
        return Ok(Algorithm::EdDSA);
    }
    match DecodingKey::from_ec_pem(pem).as_ref().map(DecodingKey::try_get_as_bytes) {
        Ok(Ok(point)) if P256_POINT_BYTES.contains(&point.len()) => Ok(Algorithm::ES256),
        Ok(_) => {
            Err("holds a key on a curve that is not taken; of the elliptic ones P-256 and Ed25519 are".into())
        }
        Err(_) => Err(
            "holds no public key that can be read; it begins with -----BEGIN PUBLIC KEY----- and is RSA, \
                       P-256 or Ed25519"
                .into(),
        ),
    }
}
