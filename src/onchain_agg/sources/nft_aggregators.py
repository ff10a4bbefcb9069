"""Contracts that buy NFTs for somebody else, on several markets in one transaction.

A market logs such a contract as the buyer; the true one sent the transaction. The addresses are of
Ethereum mainnet.

Known gaps: an aggregator that is not listed counts as a trader, and one that calls a market with
the customer as the recipient leaves no trace in the logs, so has no name here.
"""

# Name of the aggregator by its contract, ``0x…`` in lower case.
AGGREGATORS = {
    "0x39da41747a83aee658334415666f3ef92dd0d541": "blur",
    "0x603d022611bfe6a101dcdab207d96c527f1d4d8e": "bitkeep",
    "0x69cf8871f61fb03f540bc519dd1f1d4682ea0bf6": "element",
    "0xb4e7b8946fa2b35912cc0581772cccd69a33000c": "element",
    "0x36ab1c395b3711d3d5ed2af8ac8371cc991aa06c": "flip",
    "0x7db11e30ae8ad7495668701c3f2c1b6d60587eda": "flip",
    "0xf24629fbb477e10f2cf331c2b7452d8596b5c7a5": "gem",
    "0x83c8f28c26bf6aaca652df1dbbe0e1b56f8baba2": "gem",
    # Checkouts of a single item.
    "0x0000000031f7382a812c64b604da4fc520afef4b": "gem",
    "0x0000000035634b55f3d99b071b5a354f48e10bef": "gem",
    "0x00000000a50bb64b4bbeceb18715748dface08af": "gem",
    "0xae9c73fd0fd237c1c6f66fe009d24ce969e98704": "gem",
    # Batches on X2Y2 and Blur.
    "0x9e97195f937c9372fe5fda5e3b86e9b88cbefed7": "gem",
    "0x539ea5d6ec0093ff6401dbcd14d049c37a77151b": "gem",
    "0xf22007700b8c443bcb36a39580f7804bffdb1169": "gem",
    "0x0a267cf51ef038fc00e71801f5a524aec06e4f07": "genie",
    "0x2af4b707e1dce8fc345f38cfeeaa2421e54976d5": "genie",
    "0x31837aaf36961274a04b915697fdfca1af31a0c7": "genie",
    "0xcdface5643b90ca4b3160dd2b5de80c1bf1cb088": "genie",
    "0xf97e9727d8e7db7aa8f006d1742d107cf9411412": "genie",
    "0x4c9712cd94376c537464caa4d87bce198d59936c": "gigamart",
    "0xdc077a4e3f46138dedac5d684882d33fcc927cf7": "gigamart",
    "0x00000000005228b791a99a61f36a130d50600106": "looksrare",
    "0x1ee3151cff01321059e3865214379b85c79ca984": "magic_eden",
    "0x04898894a0b6c094a920eafd180ef4ac30f00a43": "magically",
    "0x114e54a100a0415abf9727234c92c83dbcc59abf": "magically",
    "0x141efc30c4093bc0f8204accb8afa6643fddecf2": "magically",
    "0x1ed3d33b41e392014e0c9d8125369aba4e09798f": "magically",
    "0x552b16d19dbad7af2786fe5a40d96d2a5c09428c": "magically",
    "0x7f6cdf5869bd780ea351df4d841f68d73cbcc16b": "nftinit",
    "0x92701d42e1504ef9fce6d66a2054218b048dda43": "okx",
    # Gem's second generation, which OpenSea runs.
    "0x241b8e59e81455e66b9cd0e2ffb2506be1838144": "opensea_pro",
    "0x29ab6d8f7e3d815168d6b40ebb12625b4fe13998": "opensea_pro",
    "0x4326275317acc0fae4aa5c68fce4c54c74dc08d3": "opensea_pro",
    # Wraps Rarible's exchange and others'.
    "0x2a7251d1e7d708c507b1b0d3ff328007beecce5d": "rarible",
    "0x2c45af926d5f62c5935278106800a03eb565778e": "rarible",
    "0x39b6862c4783db2651d64bc160349dc9a15f1fb7": "rarity_garden",
    "0x9d0a89bc35fb160a076de0341d9280830d3013ca": "rarity_garden",
    "0x178a86d36d89c7fdebea90b739605da7b131ff6a": "reservoir",
    "0x5aa9ca240174a54af6d9bfc69214b2ed948de86d": "reservoir",
    "0x7c9733b19e14f37aca367fbd78922c098c55c874": "reservoir",
    "0x8005488ff4f8982d2d8c1d602e6d747b1428dd41": "reservoir",
    "0x9ebfb53fa8526906738856848a27cb11b0285c3f": "reservoir",
    "0xc2c862322e9c97d6244a3506655da95f05246fd8": "reservoir",
    "0xc52b521b284792498c1036d4c2ed4b73387b3859": "reservoir",
    "0x4abab19c2ad968adbc52e2c8a5ccda5379629576": "skillet",
    "0xb123504fa220ba482768dd1e798594c1af88d7dc": "tiny_astro",
    # The universal router, whose first versions also bought NFTs.
    "0x4c60051384bd2d3c01bfc845cf5f4b44bcbe9de5": "uniswap",
    "0xef1c6e67703c7bd7107eed8303fbe6ec2554bf6b": "uniswap",
    "0x3fc91a3afd70395cd496c647d5a6cc9d4b2b7fad": "uniswap",
    # Buys on other markets what X2Y2's customers saw there.
    "0x56dd5bbede9bfdb10a2845c4d70d4a2950163044": "x2y2",
}
