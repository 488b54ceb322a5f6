//! The vectors the RFCs print.

use proptest::prelude::*;

use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[test]
fn rfc_3961_a1_folding() {
    for (input, bits, expected) in [
        ("012345", 64, "be072631276b1955"),
        ("password", 56, "78a07b6caf85fa"),
        ("Rough Consensus, and Running Code", 64, "bb6ed30870b7f0e0"),
        ("password", 168, "59e4a8ca7c0385c3c37b3f6d2000247cb6e6bd5b3e"),
        ("MASSACHVSETTS INSTITVTE OF TECHNOLOGY", 192, "db3b0d8f0b061e603282b308a50841229ad798fab9540c1b"),
        ("Q", 168, "518a54a215a8452a518a54a215a8452a518a54a215"),
        ("ba", 168, "fb25d531ae8974499f52fd92ea9857c4ba24cf297e"),
        ("kerberos", 128, "6b65726265726f737b9b5b2b93132b93"),
    ] {
        assert_eq!(fold(input.as_bytes(), bits / 8), hex(expected), "{input}");
    }
}

#[test]
fn rfc_3962_b_derivation() {
    // The last step from a password to a key is a derivation with the constant "kerberos".
    for (input, expected) in [
        ("cdedb5281bb2f801565a1122b2563515", "42263c6e89f4fc28b8df68ee09799f15"),
        (
            "cdedb5281bb2f801565a1122b25635150ad1f7a04bb9f3a333ecc0e2e1f70837",
            "fe697b52bc0d3ce14432ba036a92e65bbb52280990a2fa27883998d72af30161",
        ),
    ] {
        assert_eq!(*derive_sha1(&hex(input), b"kerberos").unwrap(), hex(expected));
    }
}

#[test]
fn rfc_3962_b_ciphertext_stealing() {
    let text = b"I would like the General Gau's Chicken, please, and wonton soup.";
    for (length, expected) in [
        (17, "c6353568f2bf8cb4d8a580362da7ff7f97"),
        (31, "fc00783e0efdb2c1d445d4c8eff7ed2297687268d6ecccc0c07b25e25ecfe5"),
        (32, "39312523a78662d5be7fcbcc98ebf5a897687268d6ecccc0c07b25e25ecfe584"),
        (
            47,
            "97687268d6ecccc0c07b25e25ecfe584b3fffd940c16a18c1b5549d2f838029e39312523a78662d5be7fcbcc98ebf5",
        ),
        (
            48,
            "97687268d6ecccc0c07b25e25ecfe5849dad8bbb96c4cdc03bc103e1a194bbd839312523a78662d5be7fcbcc98ebf5a8",
        ),
        (
            64,
            "97687268d6ecccc0c07b25e25ecfe58439312523a78662d5be7fcbcc98ebf5a84807efe836ee89a526730dbc2f7bc8409dad8bbb96c4cdc03bc103e1a194bbd8",
        ),
    ] {
        let mut bytes = text[..length].to_vec();
        cts_encrypt(b"chicken teriyaki", &mut bytes).unwrap();
        assert_eq!(bytes, hex(expected), "{length}");
        cts_decrypt(b"chicken teriyaki", &mut bytes).unwrap();
        assert_eq!(bytes, &text[..length], "{length}");
    }
}

/// RFC 8009 appendix A: base key, keys for usage 2, a checksum, encryptions.
#[test]
fn rfc_8009_a() {
    struct Sample {
        enctype: i64,
        base: &'static str,
        derived: [&'static str; 3],
        checksum: &'static str,
        sealed: [(&'static str, &'static str, &'static str); 4],
    }
    let plain = [
        "",
        "000102030405",
        "000102030405060708090a0b0c0d0e0f",
        "000102030405060708090a0b0c0d0e0f1011121314",
    ];
    let samples = [
        Sample {
            enctype: 19,
            base: "3705D96080C17728A0E800EAB6E0D23C",
            derived: [
                "B31A018A48F54776F403E9A396325DC3",
                "9B197DD1E8C5609D6E67C3E37C62C72E",
                "9FDA0E56AB2D85E1569A688696C26A6C",
            ],
            checksum: "D78367186643D67B411CBA9139FC1DEE",
            sealed: [
                (
                    plain[0],
                    "7E5895EAF2672435BAD817F545A37148",
                    "EF85FB890BB8472F4DAB20394DCA781DAD877EDA39D50C870C0D5A0A8E48C718",
                ),
                (
                    plain[1],
                    "7BCA285E2FD4130FB55B1A5C83BC5B24",
                    "84D7F30754ED987BAB0BF3506BEB09CFB55402CEF7E6877CE99E247E52D16ED4421DFDF8976C",
                ),
                (
                    plain[2],
                    "56AB21713FF62C0A1457200F6FA9948F",
                    "3517D640F50DDC8AD3628722B3569D2AE07493FA8263254080EA65C1008E8FC295FB4852E7D83E1E7C48C37EEBE6B0D3",
                ),
                (
                    plain[3],
                    "A7A4E29A4728CE10664FB64E49AD3FAC",
                    "720F73B18D9859CD6CCB4346115CD336C70F58EDC0C4437C5573544C31C813BCE1E6D072C186B39A413C2F92CA9B8334A287FFCBFC",
                ),
            ],
        },
        Sample {
            enctype: 20,
            base: "6D404D37FAF79F9DF0D33568D320669800EB4836472EA8A026D16B7182460C52",
            derived: [
                "EF5718BE86CC84963D8BBB5031E9F5C4BA41F28FAF69E73D",
                "56AB22BEE63D82D7BC5227F6773F8EA7A5EB1C825160C38312980C442E5C7E49",
                "69B16514E3CD8E56B82010D5C73012B622C4D00FFC23ED1F",
            ],
            checksum: "45EE791567EEFCA37F4AC1E0222DE80D43C3BFA06699672A",
            sealed: [
                (
                    plain[0],
                    "F764E9FA15C276478B2C7D0C4E5F58E4",
                    "41F53FA5BFE7026D91FAF9BE959195A058707273A96A40F0A01960621AC612748B9BBFBE7EB4CE3C",
                ),
                (
                    plain[1],
                    "B80D3251C1F6471494256FFE712D0B9A",
                    "4ED7B37C2BCAC8F74F23C1CF07E62BC7B75FB3F637B9F559C7F664F69EAB7B6092237526EA0D1F61CB20D69D10F2",
                ),
                (
                    plain[2],
                    "53BF8A0D105265D4E276428624CE5E63",
                    "BC47FFEC7998EB91E8115CF8D19DAC4BBBE2E163E87DD37F49BECA92027764F68CF51F14D798C2273F35DF574D1F932E40C4FF255B36A266",
                ),
                (
                    plain[3],
                    "763E65367E864F02F55153C7E3B58AF1",
                    "40013E2DF58E8751957D2878BCD2D6FE101CCFD556CB1EAE79DB3C3EE86429F2B2A602AC86FEF6ECB647D6295FAE077A1FEB517508D2C16B4192E01F62",
                ),
            ],
        },
    ];
    for sample in samples {
        let key = Key::new(sample.enctype, &hex(sample.base)).unwrap();
        for (purpose, expected) in
            [Purpose::Checksum, Purpose::Encryption, Purpose::Integrity].into_iter().zip(sample.derived)
        {
            assert_eq!(*key.derived(2, purpose).unwrap(), hex(expected));
        }
        assert_eq!(key.checksum(2, &hex(plain[3])).unwrap(), hex(sample.checksum));
        for (plain, confounder, expected) in sample.sealed {
            let confounder = hex(confounder).try_into().unwrap();
            let sealed = key.encrypt_with(confounder, 2, &hex(plain)).unwrap();
            assert_eq!(sealed, hex(expected));
            assert_eq!(*key.decrypt(2, &sealed).unwrap(), hex(plain));
        }
    }
}

proptest! {
    #[test]
    fn what_was_sealed_opens_and_what_was_changed_does_not(
        plain: Vec<u8>,
        enctype in 17_i64..=20,
        flip: prop::sample::Index,
    ) {
        let length = if enctype % 2 == 1 { 16 } else { 32 };
        let key = Key::new(enctype, &vec![7; length]).unwrap();
        let mut sealed = key.encrypt(3, &plain).unwrap();
        prop_assert_eq!(&*key.decrypt(3, &sealed).unwrap(), &plain);
        prop_assert!(key.decrypt(8, &sealed).is_err(), "another use");
        let at = flip.index(sealed.len());
        sealed[at] ^= 1;
        prop_assert!(key.decrypt(3, &sealed).is_err(), "byte {} was changed", at);
    }

    #[test]
    fn any_bytes_are_refused(sealed: Vec<u8>) {
        for (enctype, length) in [(17, 16), (20, 32)] {
            prop_assert!(Key::new(enctype, &vec![7; length]).unwrap().decrypt(3, &sealed).is_err());
        }
    }
}
