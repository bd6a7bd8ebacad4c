//! The sending side: one product, one answer.

use crate::model::{DeliveryStatus, Receipt};
use reqwest::{
    Client, StatusCode,
    multipart::{Form, Part},
};
use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

/// Why there is no receipt of acceptance.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("no answer from {url}: {source}")]
    Network { url: String, source: reqwest::Error },
    /// The far side is in trouble: later it may take the product.
    #[error("{url} answered {status}: {body}")]
    Unavailable { url: String, status: StatusCode, body: String },
    /// The far side will not take it, now or later.
    #[error("{url} refused ({status}): {reason}")]
    Refused { url: String, status: StatusCode, reason: String, receipt: Option<Box<Receipt>> },
    #[error("{url} answered {status} without a receipt: {body}")]
    NoReceipt { url: String, status: StatusCode, body: String },
}

impl UploadError {
    /// Whether the same upload may succeed later.
    pub fn is_retry_safe(&self) -> bool {
        !matches!(self, Self::Refused { .. })
    }

    /// The receipt of a refusal, where the far side sent one.
    pub fn into_receipt(self) -> Option<Receipt> {
        match self {
            Self::Refused { receipt, .. } => receipt.map(|receipt| *receipt),
            _ => None,
        }
    }
}

/// Sends a product as multipart field `Product` and returns the receipt (stored or duplicate).
pub async fn upload(
    client: &Client,
    url: &str,
    token: Option<&str>,
    path: &Path,
    file_name: &str,
    timeout: Duration,
) -> Result<Receipt, UploadError> {
    let content = tokio::fs::read(path)
        .await
        .map_err(|source| UploadError::File { path: path.to_owned(), source })?;
    let part = Part::bytes(content).file_name(file_name.to_owned());
    let mut request =
        client.post(url).timeout(timeout).multipart(Form::new().part("Product", part));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let network = |source| UploadError::Network { url: url.to_owned(), source };
    let response = request.send().await.map_err(network)?;
    let status = response.status();
    let body = response.text().await.map_err(network)?;
    let receipt: Option<Receipt> = serde_json::from_str(&body).ok();
    let url = url.to_owned();
    match receipt {
        Some(receipt) if status.is_success() && receipt.status != DeliveryStatus::Refused => {
            Ok(receipt)
        }
        Some(receipt) if is_final(status) => {
            let reason = receipt.reason.clone().unwrap_or_default();
            Err(UploadError::Refused { url, status, reason, receipt: Some(Box::new(receipt)) })
        }
        None if is_final(status) => {
            Err(UploadError::Refused { url, status, reason: shortened(&body), receipt: None })
        }
        None if status.is_success() => {
            Err(UploadError::NoReceipt { url, status, body: shortened(&body) })
        }
        _ => Err(UploadError::Unavailable { url, status, body: shortened(&body) }),
    }
}

/// Answers about this product. A wrong token or a full server is about the day, not about the product.
fn is_final(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::CONFLICT
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY
    )
}

fn shortened(body: &str) -> String {
    body.chars().take(300).collect()
}
