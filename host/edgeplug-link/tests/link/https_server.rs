//! The smallest HTTPS server that can misbehave.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use edgeplug_test_support::certificates::ServerCertificate;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

/// Sends the same bytes to whoever has sent a request head; ends when dropped.
pub(crate) struct HttpsServer {
    pub(crate) port: u16,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl HttpsServer {
    /// `None` answers nothing and keeps the connection.
    pub(crate) async fn start(certificate: &ServerCertificate, answer: Option<&str>) -> Self {
        let acceptor = acceptor(certificate);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let answer = answer.map(|answer| Bytes::copy_from_slice(answer.as_bytes()));
        let seen = requests.clone();
        let task = tokio::spawn(async move {
            let mut open = Vec::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                // A client that does not trust us hangs up here.
                let Ok(mut stream) = acceptor.accept(socket).await else { continue };
                let mut request = vec![0; 64 * 1024];
                let count = stream.read(&mut request).await.unwrap_or(0);
                seen.lock().unwrap().push(String::from_utf8_lossy(&request[..count]).into_owned());
                if let Some(answer) = &answer {
                    let _ = stream.write_all(answer).await;
                    let _ = stream.shutdown().await;
                }
                open.push(stream);
            }
        });
        Self { port, requests, task }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    /// What was read at once from each connection.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for HttpsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn acceptor(certificate: &ServerCertificate) -> TlsAcceptor {
    let chain = vec![CertificateDer::from_pem_slice(certificate.certificate_pem.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}
