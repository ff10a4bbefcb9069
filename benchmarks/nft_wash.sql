-- Made NFT trades for benchmarks/nft_wash.py. Binds: newest, days, trades.
-- Each statement ends with a semicolon at the end of a line. One block a day.
INSERT INTO chain.block (chain, height, day, block_hash, parent_hash, header_at, block_at, tx_count,
    size_bytes, traced)
SELECT 'ethereum', n, CAST(at AS date), sha256(CAST('b' || n AS bytea)),
    sha256(CAST('b' || (n - 1) AS bytea)), at, at, 10, 1000000, true
FROM (
    SELECT n, CAST(:newest AS date) - CAST(:days AS int) + 1 + n * interval '1 day' AS at
    FROM generate_series(0, CAST(:days AS int) - 1) n
) made;
INSERT INTO state.tip (chain, from_height, height, block_hash, day, final_height, undo_from)
SELECT chain, 0, height, block_hash, day, height, 0 FROM chain.block ORDER BY height DESC LIMIT 1;

-- Of a hundred trades 85 are of tokens sold on four times, 8 go round in fours, 2 are of one edition,
-- 5 of tokens that everybody of a group of 30 sells to everybody else.
INSERT INTO serving.nft_trade_v1 (chain, day, block_hash, log_index, item_index, height, block_at,
    tx_index, tx_hash, market, version, side, collection, contract, standard, token_id, quantity,
    bundle_size, seller, buyer, currency, price, price_native, flash_loan, net_native, known_from)
SELECT b.chain, b.day, '0x' || encode(b.block_hash, 'hex'), n, 0, b.height, b.block_at, n,
    '0x' || md5('t' || n), 'seaport', '1', 'listing', t.kind || t.token / 1000, t.kind, t.standard,
    t.token, 1, 1, '0x' || md5('a' || t.seller) || '00000000', '0x' || md5('a' || t.buyer) || '00000000',
    'native', 1000 + n % 1000, 1000 + n % 1000, false, n % 2, b.block_at
FROM generate_series(CAST(0 AS bigint), CAST(:trades AS int) - 1) n
CROSS JOIN LATERAL (
    SELECT 'once' AS kind, 721 AS standard, n / 4 AS token, n AS seller, n + 1 AS buyer
    WHERE n % 100 < 85
    UNION ALL
    SELECT 'ring', 721, n / 100 * 2 + n % 100 / 89, n / 100 * 100 + n % 4, n / 100 * 100 + (n + 1) % 4
    WHERE n % 100 BETWEEN 85 AND 92
    UNION ALL
    SELECT 'edition', 1155, 1, n * 7919 % 100003, n * 6007 % 100003 WHERE n % 100 IN (93, 94)
    UNION ALL
    SELECT 'dense', 721, n / 20000, n / 20000 * 100 + n * 31 / 7 % 30, n / 20000 * 100 + n * 17 / 3 % 30
    WHERE n % 100 >= 95
) t
JOIN chain.block b ON b.height = n * 7 % CAST(:days AS int);
ANALYZE serving.nft_trade_v1;
