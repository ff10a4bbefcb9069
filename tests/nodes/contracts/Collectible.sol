// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {ERC721Burnable} from "@openzeppelin/contracts/token/ERC721/extensions/ERC721Burnable.sol";

/// A collection of single pieces; anyone may mint.
contract Collectible is ERC721Burnable {
    constructor() ERC721("Sample Deck", "DECK") {}

    function mint(address to, uint256 id) external {
        _mint(to, id);
    }
}
