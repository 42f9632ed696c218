//! Lines, and descriptors, over a UNIX socket.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// Descriptors that one message takes (Linux: 253).
const DESCRIPTORS_MAX: usize = 200;
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Reads a line, byte by byte: what comes after it may carry descriptors.
pub(super) fn read_line(stream: &mut UnixStream) -> io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < LINE_BYTES_MAX {
        if stream.read(&mut byte)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if byte[0] == b'\n' {
            return String::from_utf8(line).map_err(io::Error::other);
        }
        line.push(byte[0]);
    }
    Err(io::Error::other("a line is too long"))
}

pub(super) fn write_line(stream: &mut UnixStream, line: &str) -> io::Result<()> {
    stream.write_all(format!("{line}\n").as_bytes())
}

/// Sends named descriptors: a line with the names, then a byte that carries the descriptors.
pub(super) fn send(stream: &mut UnixStream, named: &[(String, OwnedFd)]) -> io::Result<()> {
    if named.len() > DESCRIPTORS_MAX {
        return Err(io::Error::other(
            "there are too many listening sockets to hand over",
        ));
    }
    let names: Vec<&str> = named.iter().map(|(name, _)| name.as_str()).collect();
    write_line(stream, &serde_json::to_string(&names)?)?;
    let descriptors: Vec<BorrowedFd<'_>> = named.iter().map(|(_, fd)| fd.as_fd()).collect();
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other(
            "the descriptors do not fit into a message",
        ));
    }
    sendmsg(
        stream,
        &[IoSlice::new(b".")],
        &mut ancillary,
        SendFlags::empty(),
    )?;
    Ok(())
}

/// Receives what [`send`] sent.
pub(super) fn receive(stream: &mut UnixStream) -> io::Result<Vec<(String, OwnedFd)>> {
    let names: Vec<String> = serde_json::from_str(&read_line(stream)?)?;
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut into = [IoSliceMut::new(&mut byte)];
    recvmsg(stream, &mut into, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    if descriptors.len() != names.len() {
        return Err(io::Error::other(
            "other descriptors came than were announced",
        ));
    }
    Ok(names.into_iter().zip(descriptors).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_arrive_under_their_names() {
        let (mut here, mut there) = UnixStream::pair().unwrap();
        let (one, other) = UnixStream::pair().unwrap();
        let named = vec![("a".to_owned(), OwnedFd::from(one))];
        send(&mut here, &named).unwrap();
        write_line(&mut here, "after").unwrap();
        let mut received = receive(&mut there).unwrap();
        assert_eq!(read_line(&mut there).unwrap(), "after");
        let (name, descriptor) = received.remove(0);
        assert_eq!(name, "a");
        drop(named);
        let mut one = UnixStream::from(descriptor);
        let mut other = other;
        write_line(&mut one, "through it").unwrap();
        assert_eq!(read_line(&mut other).unwrap(), "through it");
    }
}
