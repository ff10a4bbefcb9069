"""Functions that write an address as people do, inside PostgreSQL 15 and later.

``ops.address_text(chain, address)`` writes base58check, bech32 and bech32m for the chains that
``ops.address_format`` lists, and ``0x`` with hexadecimal digits for all others. Serving tables are
made in the database, so the text is made there too; `sources.bitcoin_address` is its twin.
"""

_GENERATORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def _checksum_steps() -> str:
    """Return what bech32 adds to its checksum for each value of the five bits shifted out."""
    steps = []
    for top in range(32):
        step = 0
        for bit, generator in enumerate(_GENERATORS):
            step ^= generator if top >> bit & 1 else 0
        steps.append(str(step))
    return "{" + ",".join(steps) + "}"


# No integer type holds 200 bits, and numeric is slow digit by digit: so ten digits at a time are
# split off as a bigint, 58^10 being the largest power of 58 that fits one.
_BASE58CHECK = """
CREATE OR REPLACE FUNCTION ops.base58check(payload bytea) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $body$
DECLARE
    alphabet constant text := '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
    ten_digits constant numeric := 430804206899405824;
    checked constant bytea := payload || substr(sha256(sha256(payload)), 1, 4);
    -- 25 bytes, filled up to seven words of 32 bits.
    hex constant text := lpad(encode(checked, 'hex'), 56, '0');
    number numeric := 0;
    part bigint;
    result text := '';
BEGIN
    IF length(payload) <> 21 THEN
        RAISE EXCEPTION 'ops.base58check takes 21 bytes, but got %', length(payload);
    END IF;
    FOR word IN 0..6 LOOP
        number := number * 4294967296 + ('x' || substr(hex, word * 8 + 1, 8))::bit(32)::bigint;
    END LOOP;
    WHILE number > 0 LOOP
        part := mod(number, ten_digits);
        number := div(number, ten_digits);
        FOR digit IN 1..10 LOOP
            result := substr(alphabet, (part % 58)::int + 1, 1) || result;
            part := part / 58;
        END LOOP;
    END LOOP;
    -- A leading zero byte is written as one digit of zero; other leading zeros are not written.
    RETURN repeat('1', 25 - length(ltrim(checked, '\\x00'::bytea))) || ltrim(result, '1');
END
$body$
"""

_BECH32 = f"""
CREATE OR REPLACE FUNCTION ops.bech32(hrp text, version int, program bytea) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $body$
DECLARE
    alphabet constant text := 'qpzry9x8gf2tvdw0s3jn54khce6mua7l';
    steps constant int[] := '{_checksum_steps()}';
    -- Program bits, filled up with zeros to groups of five.
    groups constant int := (length(program) * 8 + 4) / 5;
    bits constant varbit := ('x' || encode(program, 'hex'))::varbit || B'0000';
    checksum int := 1;
    word int;
    result text := substr(alphabet, version + 1, 1);
BEGIN
    FOR i IN 1..length(hrp) LOOP
        checksum := ((checksum & 33554431) << 5) # steps[(checksum >> 25) + 1]
            # (ascii(substr(hrp, i, 1)) >> 5);
    END LOOP;
    checksum := ((checksum & 33554431) << 5) # steps[(checksum >> 25) + 1];
    FOR i IN 1..length(hrp) LOOP
        checksum := ((checksum & 33554431) << 5) # steps[(checksum >> 25) + 1]
            # (ascii(substr(hrp, i, 1)) & 31);
    END LOOP;
    checksum := ((checksum & 33554431) << 5) # steps[(checksum >> 25) + 1] # version;
    FOR i IN 0..groups - 1 LOOP
        word := substring(bits, i * 5 + 1, 5)::bit(5)::int;
        checksum := ((checksum & 33554431) << 5) # steps[(checksum >> 25) + 1] # word;
        result := result || substr(alphabet, word + 1, 1);
    END LOOP;
    FOR i IN 1..6 LOOP
        checksum := ((checksum & 33554431) << 5) # steps[(checksum >> 25) + 1];
    END LOOP;
    -- Version 0 is bech32, later ones are bech32m: they differ in what the checksum must leave.
    checksum := checksum # CASE version WHEN 0 THEN 1 ELSE 734539939 END;
    FOR i IN 0..5 LOOP
        result := result || substr(alphabet, ((checksum >> (25 - 5 * i)) & 31) + 1, 1);
    END LOOP;
    RETURN hrp || '1' || result;
END
$body$
"""

_ADDRESS_TEXT = """
CREATE OR REPLACE FUNCTION ops.address_text(chain text, address bytea) RETURNS text
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE AS $body$
DECLARE
    written ops.address_format;
    kind int;
    size constant int := length(address) - 1;
BEGIN
    SELECT * INTO written FROM ops.address_format f WHERE f.chain = $1;
    IF NOT FOUND THEN
        RETURN '0x' || encode(address, 'hex');
    END IF;
    kind := CASE WHEN size >= 0 THEN get_byte(address, 0) END;
    IF kind = 0 AND size = 20 THEN
        RETURN ops.base58check(set_byte(address, 0, written.pubkey_prefix));
    ELSIF kind = 5 AND size = 20 THEN
        RETURN ops.base58check(set_byte(address, 0, written.script_prefix));
    ELSIF (kind = 16 AND size IN (20, 32)) OR (kind BETWEEN 17 AND 32 AND size BETWEEN 2 AND 40)
    THEN
        RETURN ops.bech32(written.bech32_hrp, kind - 16, substr(address, 2));
    END IF;
    RAISE EXCEPTION '0x% is no address of %', encode(address, 'hex'), chain
        USING HINT = 'It takes a kind byte (00, 05 or 10 to 20) and the hash or program of it.';
END
$body$
"""

# In the order they need each other; run again, each replaces itself.
STATEMENTS = (_BASE58CHECK, _BECH32, _ADDRESS_TEXT)
"""What creates the functions, once the schema ``ops`` and its ``address_format`` stand."""
