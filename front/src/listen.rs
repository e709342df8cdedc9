//! Connections of clients.

use crate::Limits;
use crate::answer::Answer;
use crate::environ::Ends;
use crate::metrics::Metrics;
use crate::pool::{Pool, WorkerId};
use crate::record::Records;
use crate::service::Service;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_io_timeout::TimeoutStream;

/// How long to wait where the system has nothing left for another connection.
const EXHAUSTED: Duration = Duration::from_millis(50);

/// Requests of one HTTP/2 connection at once.
const STREAMS: u32 = 100;

/// How often an HTTP/2 client is asked whether it is still there.
const PING: Duration = Duration::from_secs(20);

/// Hands requests of clients to workers. Cheap to clone.
#[derive(Clone)]
pub struct Front(Arc<Service>);

/// A front that accepts connections, until this is dropped.
pub struct Running {
    stop: watch::Sender<bool>,
    accepting: JoinHandle<GracefulShutdown>,
}

impl Front {
    /// For workers that listen at the local socket `workers`, with at most `at_once` requests at the same time.
    pub fn new(workers: PathBuf, at_once: usize, limits: Limits, records: Option<Records>) -> Self {
        Self(Arc::new(Service {
            pool: Pool::new(workers, at_once),
            limits,
            metrics: Arc::default(),
            records,
        }))
    }

    /// What it counts.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// No request goes to `worker` from now on.
    pub fn forget(&self, worker: WorkerId) {
        self.0.pool.forget(worker);
    }

    /// Accepts connections from now on. Must be called inside a tokio runtime.
    pub fn serve(&self, listener: TcpListener) -> Running {
        let (stop, stopped) = watch::channel(false);
        let accepting = tokio::spawn(accept(Arc::clone(&self.0), listener, stopped));
        Running { stop, accepting }
    }

    /// Answers `/health` and `/metrics` from now on. Must be called inside a tokio runtime.
    pub fn administer(&self, listener: TcpListener) {
        let service = Arc::clone(&self.0);
        tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => drop(tokio::spawn(tell(Arc::clone(&service), stream))),
                    Err(_) => sleep(EXHAUSTED).await,
                }
            }
        });
    }
}

impl Running {
    /// Accepts no more connections, and waits for the requests of those that there are.
    pub async fn end(self) {
        self.stop.send_replace(true);
        if let Ok(graceful) = self.accepting.await {
            graceful.shutdown().await;
        }
    }
}

async fn accept(
    service: Arc<Service>,
    listener: TcpListener,
    mut stopped: watch::Receiver<bool>,
) -> GracefulShutdown {
    let graceful = GracefulShutdown::new();
    let turns = Arc::new(Semaphore::new(service.limits.connections));
    let builder = builder(&service.limits);
    loop {
        let next = async {
            // Fails only where it was closed, which nobody does.
            let turn = Arc::clone(&turns).acquire_owned().await.ok();
            (turn, listener.accept().await)
        };
        let (turn, accepted) = tokio::select! {
            next = next => next,
            _ = stopped.wait_for(|stop| *stop) => return graceful,
        };
        match accepted {
            Ok((stream, client)) => {
                let Ok(server) = stream.local_addr() else {
                    continue; // It has gone.
                };
                let ends = Ends { client, server };
                serve(&service, &builder, &graceful, stream, ends, turn);
            }
            Err(_) => sleep(EXHAUSTED).await,
        }
    }
}

fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_buf_size(limits.head.max(8 << 10));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(limits.head).unwrap_or(u32::MAX))
        .keep_alive_interval(PING)
        .keep_alive_timeout(limits.stalled);
    builder
}

/// Serves one connection in a task of its own.
fn serve(
    service: &Arc<Service>,
    builder: &Builder<TokioExecutor>,
    graceful: &GracefulShutdown,
    stream: TcpStream,
    ends: Ends,
    turn: Option<OwnedSemaphorePermit>,
) {
    // Answers are written in one piece each, and are not to wait for acknowledgements.
    let _ = stream.set_nodelay(true);
    let limits = service.limits;
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.stalled));
    let asked = Arc::new(AtomicBool::new(false));
    let answering = {
        let (service, asked) = (Arc::clone(service), Arc::clone(&asked));
        service_fn(move |request: Request<Incoming>| {
            asked.store(true, Ordering::Relaxed);
            let service = Arc::clone(&service);
            async move { Ok::<_, Infallible>(service.respond(request, ends).await) }
        })
    };
    let connection = builder
        .serve_connection(TokioIo::new(Box::pin(stream)), answering)
        .into_owned();
    let connection = graceful.watch(connection);
    let service = Arc::clone(service);
    tokio::spawn(async move {
        let _counted = service.metrics.connection();
        // The version is told by the first bytes, which no limit of the protocol's own waits for.
        let silent = async {
            sleep(limits.head_time).await;
            if asked.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            // What is wrong with it is the client's, who has been told as far as it can be.
            _ = connection => {}
            () = silent => {}
        }
        drop(turn);
    });
}

/// One connection of whoever watches over the service.
async fn tell(service: Arc<Service>, stream: TcpStream) {
    let answering = service_fn(move |request: Request<Incoming>| {
        let (status, text) = match request.uri().path() {
            "/health" if service.metrics.has_workers() => (StatusCode::OK, "ok\n".to_owned()),
            "/health" => (StatusCode::SERVICE_UNAVAILABLE, "no worker\n".to_owned()),
            "/metrics" => (StatusCode::OK, service.metrics.text()),
            _ => (StatusCode::NOT_FOUND, "/health or /metrics\n".to_owned()),
        };
        let mut response = Response::new(Answer::text(text));
        *response.status_mut() = status;
        let kind = HeaderValue::from_static("text/plain; version=0.0.4");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Limits::default().head_time)
        .serve_connection(TokioIo::new(stream), answering);
    // Whoever watches sees what went wrong.
    let _ = connection.await;
}
