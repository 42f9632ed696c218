use super::*;

#[test]
fn a_cluster_comes_and_goes() {
    let postgres = Postgres::start();
    let (one, two) = (postgres.database(), postgres.database());
    assert_ne!(one, two);
    postgres.sql("test_0", "CREATE TABLE t (n int); INSERT INTO t VALUES (7)");
    assert_eq!(postgres.sql("test_0", "SELECT n FROM t"), "7");
    let owner = postgres.sql("test_0", "SHOW ssl");
    assert_eq!(owner, "on");

    // A crash keeps what was committed.
    postgres.kill();
    assert!(!postgres.answers());
    postgres.restart();
    assert_eq!(postgres.sql("test_0", "SELECT n FROM t"), "7");

    let (folder, port) = (postgres.folder.clone(), postgres.port);
    assert!(folder.exists());
    drop(postgres);
    assert!(!folder.exists(), "the folder goes with the cluster");
    assert!(
        std::net::TcpStream::connect(("127.0.0.1", port)).is_err(),
        "nobody listens any more"
    );
}

/// What the keeper does for a test process that was killed.
#[test]
fn the_keeper_alone_stops_the_server() {
    let mut postgres = Postgres::start();
    let folder = postgres.folder.clone();
    let mut server = postgres.server().take().unwrap();
    // Reaped as init would do, so that it does not stay as a zombie.
    let reaper = std::thread::spawn(move || server.wait().unwrap());
    let other = Keeper::start(&folder.join("x"), &folder.join("x"), &folder).unwrap();
    drop(std::mem::replace(&mut postgres._keeper, other));
    assert!(!reaper.join().unwrap().success() || !folder.exists());
    assert!(!folder.exists());
}

#[test]
fn tests_share_one() {
    assert_eq!(Postgres::shared().port(), Postgres::shared().port());
}
