use super::address::Address;
use super::*;

fn address(text: &str) -> Address {
    Address::parse(text).unwrap_or_else(|| panic!("{text}"))
}

#[test]
fn addresses_are_read_and_written() {
    for text in ["1.2.3.4", "1.2.3.4/24", "1.2.3.4:80", "::1", "fd00::2/64", "[::1]:80", "0.0.0.0/0", "::/0"]
    {
        assert_eq!(address(text).to_string(), text);
    }
    for text in ["", "foo", "1.2.3", "1.2.3.4/33", "::1/129", "1.2.3.4/+1", "localhost:80", "1.2.3.4/"] {
        assert!(Address::parse(text).is_none(), "{text}");
    }
}

#[test]
fn attributes_of_networks() {
    let get = |text: &str, name: &str| address(text).attribute(name).unwrap_or_default();
    assert_eq!(get("192.0.2.2/24", "first_usable"), "192.0.2.1");
    assert_eq!(get("192.0.2.2/31", "last_usable"), "192.0.2.3");
    assert_eq!(get("192.0.2.2/24", "broadcast"), "192.0.2.255");
    assert_eq!(get("192.0.2.2/24", "size"), "256");
    assert_eq!(get("0.0.0.0/0", "size"), "4294967296");
    assert_eq!(get("::/0", "size"), "340282366920938463463374607431768211456");
    assert_eq!(get("fd00::2/64", "netmask"), "ffff:ffff:ffff:ffff::");
    assert_eq!(get("fd00::2/64", "broadcast"), "");
    assert_eq!(get("1.2.3.4", "octets"), "1 2 3 4");
}

#[test]
fn this_machine_has_a_loopback_address() {
    let expression =
        "GetAllInterfaces | include \"flags\" \"loopback\" | include \"type\" \"ip\" | attr \"address\"";
    let found = sockaddr(&[Value::from(expression)]).unwrap();
    assert!(matches!(found.as_str(), Some(b"127.0.0.1" | b"::1" | b"")));
}
