-- Made NFT trades for benchmarks/nft_collections.py. Binds: newest, days, trades, collections.
-- Each statement ends with a semicolon at the end of a line. One block an hour.
INSERT INTO chain.block (chain, height, day, block_hash, parent_hash, header_at, block_at, tx_count,
    size_bytes, traced)
SELECT 'ethereum', n, CAST(at AS date), sha256(CAST('b' || n AS bytea)),
    sha256(CAST('b' || (n - 1) AS bytea)), at, at, 10, 1000000, true
FROM (
    SELECT n, CAST(:newest AS date) - CAST(:days AS int) + 1 + n * interval '1 hour' AS at
    FROM generate_series(0, CAST(:days AS int) * 24 - 1) n
) made;
INSERT INTO state.tip (chain, from_height, height, block_hash, day, final_height, undo_from)
SELECT chain, 0, height, block_hash, day, height, 0 FROM chain.block ORDER BY height DESC LIMIT 1;

-- Collections by their share: the square of an even number makes few large and many small.
INSERT INTO serving.nft_trade_v1 (chain, day, block_hash, log_index, item_index, height, block_at,
    tx_index, tx_hash, market, version, side, aggregator, collection, contract, standard, token_id,
    quantity, bundle_size, seller, buyer, currency, price, price_native, usd_value, platform_fee,
    royalty, unpriced, flash_loan, net_native, known_from)
SELECT b.chain, b.day, '0x' || encode(b.block_hash, 'hex'), n, 0, b.height, b.block_at, n,
    '0x' || md5('t' || n) || md5('x' || n), (ARRAY['seaport', 'blur', 'looksrare', 'x2y2'])[1 + n % 4],
    '1', 'listing', CASE WHEN n % 3 = 0 THEN 'gem' END, c.address, c.address, 721, n * 17 % 1000, 1, 1,
    '0x' || substr(md5('a' || n % 40009) || md5('b' || n % 40009), 1, 40),
    '0x' || substr(md5('a' || n % 50021) || md5('b' || n % 50021), 1, 40),
    'native', p.price, p.price, p.price * 1e-18 * 2512.25, div(p.price, 40), div(p.price, 20), NULL,
    false, p.price, b.block_at
FROM generate_series(0, CAST(:trades AS int) - 1) n
CROSS JOIN LATERAL (SELECT '0x' || substr(md5('c' || k) || md5('d' || k), 1, 40) AS address
    FROM (SELECT trunc(CAST(:collections AS int) * power(n * 7919.0 % 1000003 / 1000003, 2)) AS k) one) c
CROSS JOIN LATERAL (SELECT trunc(1e17 + n * 104729.0 % 1000003 * 1e13) AS price) p
JOIN chain.block b ON b.height = n % (CAST(:days AS int) * 24);

INSERT INTO serving.nft_wash_trade_v1 (chain, day, block_hash, log_index, item_index, collection,
    token_id, market, seller, buyer, flags, price_native, usd_value, known_from)
SELECT chain, day, block_hash, log_index, item_index, collection, token_id, market, seller, buyer, 1,
    price_native, usd_value, known_from
FROM serving.nft_trade_v1 WHERE tx_index % 50 = 0;

-- One mint for four trades, and the transfer of every trade.
INSERT INTO serving.nft_mint_v1 (chain, day, block_hash, log_index, item_index, height, tx_index,
    tx_hash, collection, standard, token_id, quantity, recipient, minter, paid, known_from)
SELECT chain, day, block_hash, log_index + 2000000, 0, height, tx_index, tx_hash, collection, 721,
    token_id, 1, seller, seller, div(price, 10), known_from
FROM serving.nft_trade_v1 WHERE tx_index % 4 = 0;
INSERT INTO chain.token_transfer (chain, day, height, block_hash, tx_index, tx_hash, log_index,
    item_index, standard, token, sender, recipient, token_id, amount)
SELECT chain, day, height, decode(substr(block_hash, 3), 'hex'), tx_index,
    decode(substr(tx_hash, 3), 'hex'), log_index + 1000000, 0, 721,
    decode(substr(collection, 3), 'hex'), decode(substr(seller, 3), 'hex'),
    decode(substr(buyer, 3), 'hex'), token_id, 1
FROM serving.nft_trade_v1;
