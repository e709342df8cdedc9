//! A place that begins as an image behaves as the folder of one's own that it stands for, and the image stays.

use super::*;
use proptest::prelude::*;
use std::time::{Duration, SystemTime};

/// Every name below `folder` with its content.
fn tree(folder: &std::path::Path) -> Vec<(PathBuf, String)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let metadata = fs::symlink_metadata(&path).expect("it is there");
        let content = if metadata.is_dir() {
            all.extend(tree(&path));
            "folder".to_owned()
        } else if metadata.is_symlink() {
            format!(
                "link to {}",
                fs::read_link(&path).expect("a link").display()
            )
        } else {
            fs::read_to_string(&path).expect("text")
        };
        all.push((path, content));
    }
    all.sort();
    all
}

fn names_below(guest: &Guest, folder: &str) -> Vec<(PathBuf, String)> {
    let base = guest.host(folder);
    let relative = |path: PathBuf| path.strip_prefix(&base).expect("below").to_owned();
    tree(&base)
        .into_iter()
        .map(|(path, content)| (relative(path), content))
        .collect()
}

#[tokio::test]
async fn looking_copies_nothing_and_each_change_copies_first() {
    for operation in OPERATIONS {
        let path = match operation {
            "create" | "mkdir" | "symlink" | "rename-to" | "link-to" => "new",
            "rmdir" => "folder",
            _ => "file",
        };
        let mut guest = Guest::new(1 << 20, 100);
        let before = names_below(&guest, "image");
        let outcome = operate(&mut guest, IMAGE, operation, path).await;
        let looks = ["open", "open-no-follow", "stat", "readlink"].contains(&operation);
        assert_eq!(guest.host("own").exists(), !looks, "{operation}");
        // The same in a folder that was private from the first.
        let mut other = Guest::new(1 << 20, 100);
        let expected = operate(&mut other, PRIVATE, operation, path).await;
        assert_eq!(outcome, expected, "{operation}");
        if !looks {
            let (own, private) = (names_below(&guest, "own"), names_below(&other, "private"));
            assert_eq!(own, private, "{operation}");
        }
        assert_eq!(names_below(&guest, "image"), before, "{operation}");
        assert_eq!(guest.denials(), [], "{operation}");
    }
}

#[tokio::test]
async fn a_read_only_image_is_never_copied() {
    let mut guest = Guest::new(1 << 20, 100);
    guest.guard = {
        let place = |number: usize, kind| Place {
            guest: format!("/{number}").parse().expect("a path"),
            access: Access::ReadOnly,
            kind,
        };
        let kinds = [
            PlaceKind::Mount,
            PlaceKind::Mount,
            PlaceKind::Private,
            PlaceKind::Image,
        ];
        let places = kinds
            .into_iter()
            .enumerate()
            .map(|(number, kind)| place(number, kind));
        let root = Root::new(guest.host("image"), guest.host("own"));
        let quota = Arc::new(Mutex::new(Quota::new(1 << 20, Vec::new())));
        let mut guard = Guard::new(
            places.collect(),
            root.into(),
            100,
            quota,
            EventSink::silent(),
        );
        for (number, rep) in guest.handles.iter().enumerate() {
            guard.opened_place(*rep, number);
        }
        guard
    };
    for operation in [
        "create",
        "truncate",
        "mkdir",
        "unlink",
        "rename-from",
        "link-to",
    ] {
        let outcome = operate(&mut guest, IMAGE, operation, "file").await;
        assert_eq!(outcome, Err(ErrorCode::ReadOnly), "{operation}");
    }
    let read = DescriptorFlags::READ;
    let opened = guest.open(IMAGE, "new", OpenFlags::CREATE, read).await;
    assert!(opened.is_err());
    assert!(!guest.host("own").exists());
}

#[tokio::test]
async fn a_copy_has_the_times_of_the_image_and_counts_against_the_limit() {
    let mut guest = Guest::new(200_000, 100);
    let old = SystemTime::now() - Duration::from_secs(86_400);
    for path in ["image/file", "image/folder"] {
        let file = fs::File::open(guest.host(path)).expect("it is there");
        file.set_modified(old).expect("ours");
    }
    fs::write(guest.host("image/large"), vec![b'1'; 120_000]).expect("a file");
    let write = DescriptorFlags::WRITE;
    let file = guest
        .open(IMAGE, "new", OpenFlags::CREATE, write)
        .await
        .expect("room");
    for path in ["own/file", "own/folder"] {
        let metadata = fs::metadata(guest.host(path)).expect("it is there");
        assert_eq!(metadata.modified().expect("a time"), old, "{path}");
    }
    let written = guest.view().write(file, vec![1; 100_000], 0).await;
    assert_eq!(guest.answer(written), Err(ErrorCode::InsufficientSpace));
}

#[tokio::test]
async fn a_copy_that_fails_leaves_nothing_and_is_tried_again() {
    let mut guest = Guest::new(1 << 20, 100);
    let away = guest.host("image-away");
    fs::rename(guest.host("image"), &away).expect("a folder");
    fs::write(guest.host("image"), "in the way").expect("a file");
    let write = DescriptorFlags::WRITE;
    let refused = guest.open(IMAGE, "new", OpenFlags::CREATE, write).await;
    assert!(refused.is_err() && !guest.host("own").exists());
    fs::remove_file(guest.host("image")).expect("a file");
    fs::rename(&away, guest.host("image")).expect("a folder");
    let made = guest.open(IMAGE, "new", OpenFlags::CREATE, write).await;
    assert!(made.is_ok() && guest.host("own/new").exists());
}

/// What a program does with files.
#[derive(Debug, Clone)]
enum Step {
    Write(String, u8),
    Read(String),
    List(String),
    Make(String),
    Remove(String),
    Unlink(String),
    Link(String),
    Rename(String, String),
    /// Opens a folder, relative to which the next steps are.
    Enter(String),
    Leave,
}

fn step() -> impl Strategy<Value = Step> {
    let names = [
        "file",
        "folder",
        "folder/inner",
        "inner",
        "new",
        "folder/new",
        "new/new",
    ];
    let name = move || prop::sample::select(names.map(str::to_owned).to_vec());
    prop_oneof![
        (name(), any::<u8>()).prop_map(|(name, byte)| Step::Write(name, byte)),
        name().prop_map(Step::Read),
        name().prop_map(Step::List),
        name().prop_map(Step::Make),
        name().prop_map(Step::Remove),
        name().prop_map(Step::Unlink),
        name().prop_map(Step::Link),
        (name(), name()).prop_map(|(from, to)| Step::Rename(from, to)),
        name().prop_map(Step::Enter),
        Just(Step::Leave),
    ]
}

/// A guest and the folder in which it is.
struct Walker {
    guest: Guest,
    place: usize,
    entered: Vec<u32>,
    files: Vec<u32>,
}

impl Walker {
    fn new(place: usize) -> Self {
        Self {
            guest: Guest::new(1 << 20, 10_000),
            place,
            entered: Vec::new(),
            files: Vec::new(),
        }
    }

    fn here(&self) -> Fd {
        match self.entered.last() {
            Some(rep) => Resource::new_borrow(*rep),
            None => self.guest.fd(self.place),
        }
    }

    async fn open(
        &mut self,
        name: &str,
        open: OpenFlags,
        flags: DescriptorFlags,
    ) -> Result<u32, ErrorCode> {
        let here = self.here();
        let follow = PathFlags::SYMLINK_FOLLOW;
        let opened = self
            .guest
            .view()
            .open_at(here, follow, name.to_owned(), open, flags)
            .await;
        self.guest.answer(opened).map(|fd| fd.rep())
    }

    /// What the program sees: content, names, or only whether it worked.
    async fn take(&mut self, step: &Step) -> Result<String, ErrorCode> {
        let (read, write) = (DescriptorFlags::READ, DescriptorFlags::WRITE);
        let here = self.here();
        match step.clone() {
            Step::Write(name, byte) => {
                let flags = OpenFlags::CREATE | OpenFlags::TRUNCATE;
                let file = self.open(&name, flags, write).await?;
                let text = byte.to_string().into_bytes();
                let fd = Resource::new_borrow(file);
                let written = self.guest.view().write(fd, text, 0).await;
                self.guest.answer(written).map(|bytes| bytes.to_string())
            }
            Step::Read(name) => {
                let file = self.open(&name, OpenFlags::empty(), read).await?;
                self.files.push(file);
                // All that was opened to be read shows what is in it now.
                let mut seen = String::new();
                for file in self.files.clone() {
                    let fd = Resource::new_borrow(file);
                    let content = self.guest.view().read(fd, 100, 0).await;
                    seen += &format!("{:?} ", self.guest.answer(content));
                }
                Ok(seen)
            }
            Step::List(name) => {
                let folder = self.open(&name, OpenFlags::DIRECTORY, read).await?;
                let fd = Resource::new_borrow(folder);
                let entries = self.guest.view().read_directory(fd).await;
                let entries = self.guest.answer(entries)?.rep();
                let mut names = Vec::new();
                loop {
                    let stream = Resource::new_borrow(entries);
                    let entry = self.guest.view().read_directory_entry(stream).await;
                    match self.guest.answer(entry)? {
                        Some(entry) => names.push(entry.name),
                        None => break,
                    }
                }
                names.sort();
                Ok(names.join(" "))
            }
            Step::Make(name) => {
                let made = self.guest.view().create_directory_at(here, name).await;
                self.guest.answer(made).map(|()| String::new())
            }
            Step::Remove(name) => {
                let removed = self.guest.view().remove_directory_at(here, name).await;
                self.guest.answer(removed).map(|()| String::new())
            }
            Step::Unlink(name) => {
                let removed = self.guest.view().unlink_file_at(here, name).await;
                self.guest.answer(removed).map(|()| String::new())
            }
            Step::Link(name) => {
                let target = "inner".to_owned();
                let made = self.guest.view().symlink_at(here, target, name).await;
                self.guest.answer(made).map(|()| String::new())
            }
            Step::Rename(from, to) => {
                let there = self.here();
                let moved = self.guest.view().rename_at(here, from, there, to).await;
                self.guest.answer(moved).map(|()| String::new())
            }
            Step::Enter(name) => {
                let folder = self.open(&name, OpenFlags::DIRECTORY, read).await?;
                self.entered.push(folder);
                Ok(String::new())
            }
            Step::Leave => {
                self.entered.pop();
                Ok(String::new())
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases / 4,
        ..ProptestConfig::default()
    })]
    /// The reference is a folder of one's own from the first.
    #[test]
    fn whatever_a_program_does_it_sees_a_folder_of_its_own(
        steps in prop::collection::vec(step(), 1..40)
    ) {
        let (mut image, mut reference) = (Walker::new(IMAGE), Walker::new(PRIVATE));
        let before = names_below(&image.guest, "image");
        for step in &steps {
            let (seen, expected) = futures_now(async {
                (image.take(step).await, reference.take(step).await)
            });
            prop_assert_eq!(seen, expected, "{:?}", step);
        }
        prop_assert_eq!(names_below(&image.guest, "image"), before.clone());
        let own = match image.guest.host("own").exists() {
            true => names_below(&image.guest, "own"),
            false => before,
        };
        prop_assert_eq!(own, names_below(&reference.guest, "private"));
    }
}
