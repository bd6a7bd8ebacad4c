//! The client: sends a product and comes back with its receipt, or with an error that says whether to try again.

use super::archive::hexadecimal;
use crate::{
    config::read_bounded,
    model::{DeliveryStatus, Receipt},
};
use reqwest::{
    Certificate, Client, StatusCode,
    multipart::{Form, Part},
};
use sha2::{Digest as _, Sha256};
use std::{
    error::Error,
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

/// Name of the multipart field (seed 003).
pub const FIELD: &str = "Product";
/// Longest part of an answer that is quoted in an error.
const QUOTED_CHARACTERS: usize = 300;

/// Longest answer that is read, bytes: a receipt has some hundred.
const MAXIMUM_ANSWER_BYTES: usize = 1 << 20;
/// Longest file of certificates, bytes.
const MAXIMUM_CERTIFICATES_BYTES: u64 = 1 << 20;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("certificates {path}: {source}")]
    CertificateFile { path: PathBuf, source: io::Error },
    #[error("certificates {path}: there is none in it that is understood")]
    NoCertificate { path: PathBuf },
    #[error("cannot make an HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

/// A client for uploads. It trusts the certificates of `ca_file` (PEM) and no others, or without one those of the system.
/// It follows no redirection: a token goes to the address it is meant for, or nowhere.
///
/// # Errors
/// [`ClientError`]; another try helps only with another file.
pub fn client(ca_file: Option<&Path>) -> Result<Client, ClientError> {
    let mut builder = Client::builder().redirect(reqwest::redirect::Policy::none());
    if let Some(path) = ca_file {
        let pem = read_bounded(path, MAXIMUM_CERTIFICATES_BYTES)
            .map_err(|source| ClientError::CertificateFile { path: path.to_owned(), source })?;
        let certificates = Certificate::from_pem_bundle(&pem).unwrap_or_default();
        if certificates.is_empty() {
            return Err(ClientError::NoCertificate { path: path.to_owned() });
        }
        builder = builder.tls_certs_only(certificates);
    }
    Ok(builder.build()?)
}

/// Whether a token sent to `url` could be read on the way: plain http to another machine.
pub fn is_readable_on_the_way(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else { return false };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_here = host == "localhost"
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
    url.scheme() == "http" && !is_here
}

/// Why there is no receipt for a stored product.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The product itself cannot be read.
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
    /// No connection, or it broke, or the time was over.
    #[error("{url}: {}", with_causes(.source))]
    Network { url: String, source: reqwest::Error },
    /// Refused with a receipt: the key holds another file, or the product is not fit.
    #[error("refused ({status}): {}", .receipt.reason.as_deref().unwrap_or("no reason given"))]
    Refused { status: u16, receipt: Box<Receipt> },
    /// Another answer than a receipt.
    #[error("answered with {status}: {message}")]
    Answer { status: u16, message: String },
    /// A receipt for something else than was sent.
    #[error("the receipt is for SHA-256 {found}, sent was {sent}")]
    WrongReceipt { sent: String, found: String },
}

/// The messages of an error and of what caused it, which reqwest keeps apart.
fn with_causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

impl UploadError {
    /// Whether the same upload may succeed later. It is safe to try because receipts are idempotent.
    pub fn is_retry_safe(&self) -> bool {
        match self {
            Self::File { source, .. } => source.kind() != io::ErrorKind::NotFound,
            Self::Network { .. } | Self::WrongReceipt { .. } => true,
            Self::Refused { .. } => false,
            Self::Answer { status, .. } => {
                // A redirection is a mistake in the configuration of either side, not of the product.
                matches!(*status, 200..=399 | 408 | 429) || *status >= 500
            }
        }
    }

    /// The receipt of a refusal.
    pub fn into_receipt(self) -> Option<Receipt> {
        match self {
            Self::Refused { receipt, .. } => Some(*receipt),
            _ => None,
        }
    }
}

/// Sends a product as the multipart field `Product` under `file_name`.
///
/// The receipt that comes back is that of a stored product, new or already there; its SHA-256 is that of the bytes sent.
///
/// # Errors
/// [`UploadError`]; [`UploadError::is_retry_safe`] says whether to try again.
pub async fn upload(
    client: &Client,
    url: &str,
    token: Option<&str>,
    path: &Path,
    file_name: &str,
    timeout: Duration,
) -> Result<Receipt, UploadError> {
    let file_error = |source| UploadError::File { path: path.to_owned(), source };
    let network_error = |source| UploadError::Network { url: url.to_owned(), source };
    let bytes = tokio::fs::read(path).await.map_err(file_error)?;
    let sent = hexadecimal(&Sha256::digest(&bytes));
    let part = Part::bytes(bytes).file_name(file_name.to_owned());
    let part = part.mime_str("application/fits").map_err(network_error)?;
    let mut request = client.post(url).timeout(timeout).multipart(Form::new().part(FIELD, part));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let mut answer = request.send().await.map_err(network_error)?;
    let status = answer.status();
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(network_error)? {
        if body.len() + chunk.len() > MAXIMUM_ANSWER_BYTES {
            let message = format!("more than {MAXIMUM_ANSWER_BYTES} bytes, which is no receipt");
            return Err(UploadError::Answer { status: status.as_u16(), message });
        }
        body.extend_from_slice(&chunk);
    }
    understand(status, &body, sent)
}

fn understand(status: StatusCode, body: &[u8], sent: String) -> Result<Receipt, UploadError> {
    match serde_json::from_slice::<Receipt>(body) {
        Ok(receipt) if receipt.status == DeliveryStatus::Refused || !status.is_success() => {
            Err(UploadError::Refused { status: status.as_u16(), receipt: Box::new(receipt) })
        }
        Ok(receipt) if receipt.sha256 != sent => {
            Err(UploadError::WrongReceipt { sent, found: receipt.sha256 })
        }
        Ok(receipt) => Ok(receipt),
        Err(_) => {
            let message = String::from_utf8_lossy(body).chars().take(QUOTED_CHARACTERS).collect();
            Err(UploadError::Answer { status: status.as_u16(), message })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::UtcTime;

    fn receipt(status: DeliveryStatus) -> Vec<u8> {
        let receipt = Receipt {
            product: "DT_GFT_FGFT_sb26110101_T005_v1".to_owned(),
            sha256: "ab".to_owned(),
            received_at: UtcTime::parse("2026-11-01").unwrap(),
            status,
            reason: Some("why".to_owned()),
            sdb: None,
        };
        serde_json::to_vec(&receipt).unwrap()
    }

    fn answered(status: u16, body: &[u8]) -> Result<Receipt, UploadError> {
        understand(StatusCode::from_u16(status).unwrap(), body, "ab".to_owned())
    }

    #[test]
    fn receipts_of_stored_products_are_taken() {
        assert!(answered(201, &receipt(DeliveryStatus::Stored)).is_ok());
        assert!(answered(200, &receipt(DeliveryStatus::Duplicate)).is_ok());
    }

    #[test]
    fn refusals_are_final_and_carry_their_receipt() {
        for status in [409, 422] {
            let error = answered(status, &receipt(DeliveryStatus::Refused)).unwrap_err();
            assert!(!error.is_retry_safe());
            assert_eq!(error.to_string(), format!("refused ({status}): why"));
            assert_eq!(error.into_receipt().unwrap().reason.as_deref(), Some("why"));
        }
    }

    #[test]
    fn other_answers_are_tried_again_where_that_may_help() {
        for (status, safe) in [
            (400, false),
            (401, false),
            (404, false),
            (413, false),
            (408, true),
            (429, true),
            (500, true),
            (503, true),
            (200, true),
        ] {
            let error = answered(status, b"<html>proxy</html>").unwrap_err();
            assert_eq!(error.is_retry_safe(), safe, "{status}");
            assert!(error.into_receipt().is_none());
        }
    }

    #[test]
    fn a_receipt_for_other_bytes_is_no_receipt() {
        let error =
            understand(StatusCode::CREATED, &receipt(DeliveryStatus::Stored), "cd".to_owned());
        assert!(matches!(&error, Err(UploadError::WrongReceipt { .. })));
        assert!(error.unwrap_err().is_retry_safe());
    }
}
