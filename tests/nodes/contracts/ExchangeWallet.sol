// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

/// An exchange's hot wallet: it pays many customers in one transaction.
contract ExchangeWallet {
    using SafeERC20 for IERC20;

    receive() external payable {}

    function payTokens(IERC20 token, address[] calldata to, uint256[] calldata amounts) external {
        for (uint256 i = 0; i < to.length; i++) {
            token.safeTransfer(to[i], amounts[i]);
        }
    }

    /// Forwards ether, the wallet's own or what came with the call. A payee that refuses keeps
    /// nothing and does not stop the others.
    function payEther(address[] calldata to, uint256[] calldata amounts) external payable {
        for (uint256 i = 0; i < to.length; i++) {
            (bool paid, ) = to[i].call{value: amounts[i]}("");
            paid;
        }
    }
}

/// A customer's deposit address: ether goes on to the hot wallet at once, tokens when swept.
contract DepositAddress {
    using SafeERC20 for IERC20;

    address payable private immutable _hotWallet;

    constructor(address payable hotWallet) {
        _hotWallet = hotWallet;
    }

    receive() external payable {
        (bool paid, ) = _hotWallet.call{value: msg.value}("");
        require(paid, "hot wallet refused");
    }

    function sweep(IERC20 token) external {
        token.safeTransfer(_hotWallet, token.balanceOf(address(this)));
    }
}
