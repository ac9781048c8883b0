"""The bookkeeping crew: a quarter of a small Dutch business, from bank exports and receipts to a VAT overview.

The domain modules here are pure: text and bytes in, records out. They know nothing of cases, agents or stores.
"""
