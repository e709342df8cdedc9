//! Streams of files.

use super::*;
use wasmtime_wasi_io::streams::StreamError;

fn write() -> DescriptorFlags {
    DescriptorFlags::READ | DescriptorFlags::WRITE
}

#[tokio::test]
async fn what_is_written_is_there_at_once() {
    let mut guest = Guest::new(1 << 20, 100);
    let file = guest
        .open(PRIVATE, "file", OpenFlags::empty(), write())
        .await;
    let rep = file.expect("it is there").rep();
    let again = || Resource::<Descriptor>::new_borrow(rep);
    let stream = guest.view().write_via_stream(again(), 1);
    let stream = guest.answer(stream).expect("it may be written");
    let writer = guest.table.get_mut(&stream).expect("a stream");
    assert!(writer.check_write().expect("room") > 0);
    writer.write("LD".into()).expect("room");
    writer.write("ER".into()).expect("room");
    let stream = guest.view().append_via_stream(again());
    let stream = guest.answer(stream).expect("it may be written");
    let writer = guest.table.get_mut(&stream).expect("a stream");
    fs::write(guest.folder.path().join("private/file"), "oLDER and longer").expect("a file");
    writer.write("!".into()).expect("room");
    let stream = guest.view().read_via_stream(again(), 2);
    let stream = guest.answer(stream).expect("it may be read");
    let reader = guest.table.get_mut(&stream).expect("a stream");
    assert_eq!(&reader.read(3).expect("content")[..], b"DER");
    assert_eq!(&reader.read(100).expect("content")[..], b" and longer!");
    assert!(matches!(reader.read(1), Err(StreamError::Closed)));
}
