//! A WebSocket backend, and a client of it behind a gateway.

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

pub(crate) type Socket = WebSocketStream<TcpStream>;

/// A backend that sends every message back; gives its URL.
pub(crate) async fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else {
                    return;
                };
                while let Some(Ok(message)) = socket.next().await {
                    if !message.is_close() && socket.send(message).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    format!("http://{address}")
}

/// A WebSocket to this path of a gateway, with one field in its request.
pub(crate) async fn opened(
    gateway: &str,
    path: &str,
    (name, value): (&'static str, &str),
) -> Socket {
    let stream = TcpStream::connect(gateway).await.unwrap();
    let request = format!("ws://{gateway}{path}").into_client_request();
    let mut request = request.unwrap();
    request.headers_mut().insert(name, value.parse().unwrap());
    client_async(request, stream).await.unwrap().0
}
