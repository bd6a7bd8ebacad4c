//! Errors of the API, as JSON: `{"error": {"status": 404, "message": "…", "retry_safe": false}}`.

use super::status::StatusError;
use crate::storage::journal::JournalError;
use actix_web::{HttpResponse, ResponseError, http::StatusCode};
use serde_json::json;

#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error("there is no {what}")]
    NotFound { what: String },
    #[error("this is read only: GET and HEAD are all it answers")]
    MethodNotAllowed,
    #[error("the address cannot be read: {what}")]
    BadAddress { what: String },
    #[error("{0}")]
    Journal(#[from] JournalError),
    #[error("the journal does not answer")]
    JournalSilent,
    #[error("too many event streams are open")]
    TooManyStreams,
    #[error("a file cannot be read: {what}")]
    File { what: String },
}

impl ApiError {
    pub fn not_found(what: impl Into<String>) -> Self {
        Self::NotFound { what: what.into() }
    }

    fn is_retry_safe(&self) -> bool {
        match self {
            Self::NotFound { .. } | Self::MethodNotAllowed | Self::BadAddress { .. } => false,
            Self::Journal(error) => error.is_retry_safe(),
            Self::JournalSilent | Self::TooManyStreams | Self::File { .. } => true,
        }
    }
}

impl From<StatusError> for ApiError {
    fn from(error: StatusError) -> Self {
        match error {
            StatusError::Journal(error) => Self::Journal(error),
        }
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::NotFound { .. } => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BadAddress { .. } => StatusCode::BAD_REQUEST,
            Self::Journal(_) | Self::JournalSilent | Self::TooManyStreams => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::File { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let status = self.status_code();
        if status.is_server_error() {
            tracing::warn!(error = %self, "a web request failed");
        }
        let mut response = HttpResponse::build(status);
        if status == StatusCode::METHOD_NOT_ALLOWED {
            response.insert_header(("Allow", "GET, HEAD"));
        }
        response.json(json!({
            "error": {
                "status": status.as_u16(),
                "message": self.to_string(),
                "retry_safe": self.is_retry_safe(),
            }
        }))
    }
}
