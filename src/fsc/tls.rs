//! The identity of the receiver on https: its certificate chain and private key, as PEM files.

use crate::config::read_bounded;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
};
use std::{
    io,
    path::{Path, PathBuf},
};

/// Longest file, bytes.
const MAXIMUM_FILE_BYTES: u64 = 1 << 20;

/// Where certificate and key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsIdentity {
    /// The certificate of this machine, then those that lead to its authority.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Why there is no https. Another try helps only with other files. What is in a key is never said.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path}: no certificate in PEM: {source}")]
    Certificate { path: PathBuf, source: pem::Error },
    #[error("{path}: no private key in PEM")]
    Key { path: PathBuf },
    #[error("certificate and key do not serve: {0}")]
    Unfit(#[from] rustls::Error),
}

impl TlsIdentity {
    /// What a server needs: TLS 1.2 or 1.3, no certificates of clients.
    pub(super) fn server_config(&self) -> Result<ServerConfig, TlsError> {
        let path = &self.certificate;
        let no_certificate = |source| TlsError::Certificate { path: path.clone(), source };
        let chain = CertificateDer::pem_slice_iter(&read(path)?)
            .collect::<Result<Vec<_>, _>>()
            .map_err(no_certificate)?;
        if chain.is_empty() {
            return Err(no_certificate(pem::Error::NoItemsFound));
        }
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?)
            .map_err(|_| TlsError::Key { path: self.key.clone() })?;
        Ok(ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    read_bounded(path, MAXIMUM_FILE_BYTES)
        .map_err(|source| TlsError::Io { path: path.to_owned(), source })
}
