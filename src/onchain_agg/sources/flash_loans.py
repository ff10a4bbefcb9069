"""Events of flash loans: what is borrowed and paid back within one transaction.

The tables hold that there was one and who lent; the amounts are token transfers anyway. A loan
counts whichever contract logs it, so forks of a protocol count under its name, and so do other
protocols whose event has the same signature.

Known gaps, where no event tells a flash loan from other business: dYdX Solo (its ``LogCall`` is
also logged where an expiry is set), flash swaps of Uniswap v2 (``Swap``), Uniswap v4 and Balancer
v3 (debts within one unlocking have no event), Euler v1 (an ordinary borrow and repayment).
"""

# Protocol by the first topic of its event, the keccak of the signature above it.
PROTOCOLS = {
    # event FlashLoan(address,address,uint256,uint256,uint256,uint256)
    "0x5b8f46461c1dd69fb968f1a003acee221ea3e19540e350233b612ddb43433b55": "aave_v1",
    # event FlashLoan(address,address,address,uint256,uint256,uint16)
    "0x631042c832b07452973831137f2d73e395028b44b250dedc5abb0ee766e168ac": "aave_v2",
    # event FlashLoan(address,address,address,uint256,uint8,uint256,uint16); Spark has it too
    "0xefefaba5e921573100900a3ad9cf29f222d995fb3b6045797eaea7521bd8d6f0": "aave_v3",
    # event FlashLoan(address,address,uint256,uint256); Maker's ERC-3156 lender of DAI has it too
    "0x0d7d75e01ab95780d3cd1c8ec0dd6c2ce19e3a20427eec8bf53283b6fb8e95f0": "balancer_v2",
    # event DODOFlashLoan(address,address,uint256,uint256)
    "0x0b82e93068db15abd9fbb2682c65462ea8a0a10582dce93a5664818e296f54eb": "dodo",
    # event VatDaiFlashLoan(address,uint256,uint256)
    "0xbca56acc64a74a4c131755895cf7f72fc3f9e39af64241f7ad0f77e86f41ada9": "maker",
    # event FlashLoan(address,address,uint256)
    "0xc76f1b4fe4396ac07a9fa55a415d4ca430e72651d37d3401f3bed7cb13fc4f12": "morpho",
    # event Flash(address,address,uint256,uint256,uint256,uint256); PancakeSwap v3 has it too
    "0xbdbdb71d7860376ba52b25a5028beea23581364a40522f6bcfb86bb1f2dca633": "uniswap_v3",
}
